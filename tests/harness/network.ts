/** Tests in a network of their own: names, addresses and kernel settings that nobody else has. */
import { inRoot } from "../sources.ts";
import { run, whyItFails } from "./child_process.ts";
import { test } from "./test.ts";

/** What the network has; only loopback is up, with all of 127.0.0.0/8 and ::1. */
export interface Network {
  /** `/etc/resolv.conf`: a name server at 127.0.0.1, where {@linkcode DnsServer} listens, if not given. */
  readonly resolvConf?: string;
  /** `/etc/hosts`: localhost, if not given. */
  readonly hosts?: string;
  /** What a shell does there first, such as `sysctl` or `ip` commands. */
  readonly setUp?: string;
}

const RESOLV_CONF = "nameserver 127.0.0.1\n";
const HOSTS = "127.0.0.1 localhost\n::1 localhost\n";
/** So that a resolver service of this machine, which sockets in files lead to, has no part in it. */
const NSSWITCH = "hosts: files dns\n";
/** Set in the process that runs a test in its network. */
const INSIDE = "TEST_IS_IN_ITS_NETWORK";
/** Far more than any test takes: less than a test that runs others may take. */
const LIMIT_MS = 240_000;

/** In the new namespaces: the files, loopback, then what the test wants. */
const ENTER = `set -e
mount -t tmpfs tmpfs /mnt
for file in resolv.conf hosts nsswitch.conf; do
  printf %s "$1" > "/mnt/$file"
  if [ -e "/etc/$file" ]; then mount --bind "/mnt/$file" "/etc/$file"; fi
  shift
done
ip link set lo up`;

function inside({ resolvConf = RESOLV_CONF, hosts = HOSTS, setUp = "" }: Network): string[] {
  // Root needs no other user, and keeps what it may do to files.
  const user = Deno.uid() === 0 ? [] : ["--map-root-user"];
  const script = `${ENTER}\n${setUp}\nexec "$@"`;
  return [
    ...["unshare", "--net", "--mount", ...user, "--"],
    ...["sh", "-c", script, "sh", resolvConf, hosts, NSSWITCH],
  ];
}

/** Why this machine cannot have such a network, if it cannot. */
const reason = await whyItFails([...inside({}), "true"]);

/**
 * Registers a test, as {@linkcode test} does, that runs in a network of its own: its file is loaded
 * again there, by a process that runs this test alone. What it starts is in that network, too.
 *
 * @param file The test's own `import.meta.url`.
 */
export function testInNetwork(
  name: string,
  file: string,
  fn: () => Promise<void>,
  network: Network = {},
): void {
  if (Deno.env.get(INSIDE) !== undefined) return test(name, fn);
  test(name, async () => {
    const only = `/^${name.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")}$/`;
    const deno = [Deno.execPath(), "test", "--no-check", "--no-prompt", "-P"];
    const command = [...inside(network), ...deno, `--filter=${only}`, new URL(file).pathname];
    const { code, stdout, stderr } = await run(command, {
      cwd: inRoot(""),
      // Its last line is read.
      env: { [INSIDE]: "yes", NO_COLOR: "1" },
      limitMs: LIMIT_MS,
    });
    // None at all has passed, too, if the filter lets none through.
    if (code !== 0 || !/^ok \| 1 passed/m.test(stdout)) throw new Error(`${stdout}${stderr}`);
    // Figures that the test has printed.
    const [, printed] = /^-+ output -+\n([^]*?)^-+ output end -+$/m.exec(stdout) ?? [];
    if (printed !== undefined) console.log(printed.trimEnd());
  }, { skip: reason });
}
