/** What `deno task compile` makes: `dist/api-server-proxy`, or what PROXY_BIN names. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import project from "../../deno.json" with { type: "json" };
import { architectureOf } from "../../release/elf.ts";
import { output, Process } from "../harness/child_process.ts";
import { test } from "../harness/test.ts";
import { LIQO_ARGS, tunnelsInside } from "./liqo.ts";
import { inRoot } from "../sources.ts";
import { find, isFile, missing } from "./tools.ts";
import { startEcho, useTunnels } from "./tunnels.ts";

const BINARY = Deno.env.get("PROXY_BIN") ?? inRoot("dist/api-server-proxy");
const ARM64 = inRoot("dist/api-server-proxy-arm64");

const QEMU = "qemu-aarch64-static";
/** The C library for arm64, as Debian has it. */
const ARM64_LIBRARIES = inRoot(".cache/arm64");
const SYMTAB = 2;

const skip = missing({ [`${BINARY} (deno task compile)`]: isFile(BINARY) });
const skipNetwork = skip ?? missing({
  "root, for a network of its own": Deno.uid() === 0,
  "unshare, nsenter and ip": ["unshare", "nsenter", "ip"].every((tool) => find(tool)),
});

const skipArm64 = missing({
  [`${ARM64} (deno task compile --arch arm64)`]: isFile(ARM64),
});
const skipQemu = skipArm64 ?? missing({
  [QEMU]: find(QEMU) !== undefined,
  [`libc6 in ${ARM64_LIBRARIES}`]: isFile(`${ARM64_LIBRARIES}/lib/ld-linux-aarch64.so.1`),
});

/** The types of an executable's sections (elf(5)): 2 is a table of symbols. */
function sectionTypesOf(image: Uint8Array<ArrayBuffer>): number[] {
  const view = new DataView(image.buffer);
  const table = Number(view.getBigUint64(0x28, true));
  const types = Array.from({ length: view.getUint16(0x3c, true) }, (_, i) => table + 64 * i + 4);
  return types.map((at) => view.getUint32(at, true));
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
    allow_env: [
      "API_SERVER_PROXY_*",
      "DENO_TOKIO_EVENT_INTERVAL",
      "KUBERNETES_SERVICE_HOST",
      "KUBERNETES_SERVICE_PORT",
    ],
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

for (
  const [name, path, arch] of [
    ["binary", BINARY, Deno.build.arch === "aarch64" ? "arm64" : "amd64"],
    ["binary for arm64", ARM64, "arm64"],
  ] as const
) {
  test(`${name} is for its processor and has no symbols`, async () => {
    const image = await Deno.readFile(path);
    assertEquals(architectureOf(image), arch);
    const types = sectionTypesOf(image);
    assert(types.length > 20 && !types.includes(SYMTAB), `${types}`);
  }, { skip: path === BINARY ? skip : skipArm64 });
}

test("binary for arm64 serves", async () => {
  using upstream = startEcho({ hostname: "127.0.0.1", port: 0 });
  await using proxy = new Process([
    ...[find(QEMU)!, "-L", ARM64_LIBRARIES, ARM64],
    ...["--host=127.0.0.1", "--port=0", "--admin-port=off"],
    `--upstream=127.0.0.1:${upstream.port}`,
  ]);
  const line = await proxy.stderr.find((line) => line.includes('"msg":"listening"'));
  const port = Number(/:(\d+)$/.exec(JSON.parse(line).address)![1]);
  await useTunnels({ hostname: "127.0.0.1", port }, 10);
  assertEquals(await proxy.stop("SIGTERM"), 0);
}, { skip: skipQemu });
