/** What `deno task compile` makes: `dist/api-server-proxy`, or what PROXY_BIN names. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import project from "../../deno.json" with { type: "json" };
import { output, Process } from "../harness/child_process.ts";
import { test } from "../harness/test.ts";
import { LIQO_ARGS, tunnelsInside } from "./liqo.ts";
import { find, inRoot, isFile, isMissing } from "./tools.ts";

const BINARY = Deno.env.get("PROXY_BIN") ?? inRoot("dist/api-server-proxy");
const ARM64 = inRoot("dist/api-server-proxy-arm64");

const skip = isMissing("binary", { [`${BINARY} (deno task compile)`]: isFile(BINARY) });
const skipNetwork = skip || isMissing("binary with Liqo's arguments", {
  "root, for a network of its own": Deno.uid() === 0,
  "unshare, nsenter and ip": ["unshare", "nsenter", "ip"].every((tool) => find(tool)),
});

/** ELF's number of the processor: 62 is x86-64, 183 is AArch64. */
async function machineOf(path: string): Promise<number> {
  using file = await Deno.open(path);
  const header = new Uint8Array(20);
  await file.read(header);
  assertEquals([...header.subarray(0, 4)], [0x7f, 0x45, 0x4c, 0x46]);
  return new DataView(header.buffer).getUint16(18, true);
}

/** What `deno compile` has written into the binary about how to run it. */
async function metadataOf(path: string): Promise<string> {
  using file = await Deno.open(path);
  const TAIL = 4 * 1024 * 1024;
  await file.seek(-TAIL, Deno.SeekMode.End);
  const tail = new TextDecoder("latin1").decode(await new Response(file.readable).bytes());
  return /\{"argv":\[.*?"workspace_resolver"/.exec(tail)![0];
}

test("binary tells version, commit and Deno's release", async () => {
  const version = project.version.replaceAll(".", "\\.");
  assertMatch(
    await output([BINARY, "--version"]),
    new RegExp(`^api-server-proxy ${version} \\(.*\\b[0-9a-f]{12}(-dirty)?\\b.*Deno \\d+\\.\\d+`),
  );
}, { skip });

test("binary may use the network and its own variables, and nothing else", async () => {
  const metadata = await metadataOf(BINARY);
  const permissions = JSON.parse(/"permissions":(\{.*?\})/.exec(metadata)![1]!);
  const allowed = Object.entries(permissions)
    .filter(([name, value]) => name.startsWith("allow_") && value !== null);
  assertEquals(Object.fromEntries(allowed.filter(([name]) => name !== "allow_import")), {
    allow_env: ["API_SERVER_PROXY_*", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"],
    allow_net: [],
  });
  assertEquals(permissions.prompt, false);
}, { skip });

test("binary takes no compiled code from /tmp, where anybody may have put it", async () => {
  assertMatch(await metadataOf(BINARY), /"code_cache_key":null/);
}, { skip });

test("binary starts with exactly Liqo's command and arguments", async () => {
  const dir = await Deno.makeTempDir();
  try {
    await Deno.symlink(await Deno.realPath(BINARY), `${dir}/proxy`);
    await Deno.writeTextFile(`${dir}/hosts`, "127.0.0.1 localhost kubernetes.default.svc\n");
    const script =
      'ip link set lo up && mount --bind "$0/hosts" /etc/hosts && echo $$ && exec "$0/proxy" "$@"';
    await using proxy = new Process([
      ...["unshare", "--net", "--mount", "sh", "-c", script, dir, ...LIQO_ARGS],
    ]);
    await proxy.stderr.find((line) => line.includes('"msg":"listening"'));
    await tunnelsInside(await proxy.stdout.find((line) => /^\d+$/.test(line)));
    assertEquals(await proxy.stop("SIGTERM"), 0);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}, { skip: skipNetwork });

test("binary is for the processor that it was compiled on", async () => {
  assertEquals(await machineOf(BINARY), { x86_64: 62, aarch64: 183 }[Deno.build.arch]);
}, { skip });

test("binary for arm64 is for arm64", async () => {
  assertEquals(await machineOf(ARM64), 183);
  assert((await Deno.stat(ARM64)).size > 50_000_000);
}, {
  skip: isMissing("binary for arm64", { [`${ARM64} (deno task compile:arm64)`]: isFile(ARM64) }),
});
