/**
 * exec, attach, logs, port-forward and cp through the proxy, in both protocols that kubectl speaks:
 * the API server upgrades the connection and relays it to the pod's kubelet.
 */
import { assert, assertEquals } from "@std/assert";
import { Environment, test } from "./environment.ts";
import { Process } from "../harness/child_process.ts";

/** Longer than any timeout between two messages that a proxy might have by mistake. */
const SILENCE_MS = 20_000;
const MIB = 1024 * 1024;
const PROMPT = "at your command";
const WAIT_FOR_INTERRUPT =
  'trap "echo interrupted; exit" INT; echo waiting; while :; do sleep 0.1; done';

const PROTOCOLS = [
  { protocol: "WebSocket", value: "true" },
  { protocol: "SPDY", value: "false" },
].map(({ protocol, value }) => ({
  protocol,
  env: { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: value, KUBECTL_PORT_FORWARD_WEBSOCKETS: value },
}));

let environment: Environment;
Deno.test.beforeAll(async () => {
  environment = await Environment.start();
});
Deno.test.afterAll(async () => {
  await environment[Symbol.asyncDispose]();
});

for (const { protocol, env } of PROTOCOLS) {
  test(`kubectl speaks ${protocol} where it is told to, for exec, attach and port-forward`, async () => {
    const { kubectl, cluster } = environment;
    const before = await webSocketRequests();
    await kubectl.output(["exec", cluster.pod, "--", "true"], { env });
    await kubectl.output(["attach", "-i", cluster.pod], { env });
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const ports = `:${listener.addr.port}`;
    await using forward = kubectl.start(["port-forward", cluster.pod, ports], { env });
    using _client = await Deno.connect({ hostname: "127.0.0.1", port: await localPort(forward) });
    using _server = await listener.accept();
    assertEquals(await webSocketRequests() - before, protocol === "WebSocket" ? 3 : 0);
  });

  test(`kubectl exec over ${protocol} answers what is typed and tells the exit code`, async () => {
    const { kubectl, cluster } = environment;
    await using shell = kubectl.start(["exec", "-i", cluster.pod, "--", "sh"], { env });
    await shell.write("echo one and $((1 + 1))\n");
    await shell.stdout.find((line) => line === "one and 2");
    await shell.write("echo to stderr >&2\n");
    await shell.stderr.find((line) => line === "to stderr");
    await shell.write("exit 7\n");
    assertEquals(await shell.ended(), 7);
  });

  test(`kubectl exec -it over ${protocol} is a terminal: prompt, echo, size, ^C, exit code`, async () => {
    const { kubectl, cluster } = environment;
    // The prompt is a line of its own: lines are what a test can wait for.
    const shell = ["exec", "-it", cluster.pod, "--", "env", `PS1=${PROMPT}\n`, "sh"];
    const size = { rows: 40, columns: 120 };
    await using terminal = await kubectl.startInTerminal(shell, size, { env });
    await terminal.shows(PROMPT);
    await terminal.type("echo $((40 + 2))\n");
    await terminal.shows("echo $((40 + 2))");
    await terminal.shows("42");

    // Sizes come on a stream of their own, sooner or later than what is typed.
    await terminal.type('until stty size | grep -x "40 120"; do sleep 0.1; done\n');
    await terminal.shows("40 120");
    await terminal.type('until stty size | grep -x "50 132"; do sleep 0.1; done\n');
    await terminal.resize({ rows: 50, columns: 132 });
    await terminal.shows("50 132");

    // A shell loses what comes while it starts a command: this one says when it waits.
    await terminal.type(`sh -c '${WAIT_FOR_INTERRUPT}'\n`);
    await terminal.shows("waiting");
    await terminal.type("\x03");
    await terminal.shows("^Cinterrupted");
    await terminal.type("exit 7\n");
    assertEquals(await terminal.ended(), 7);
  });

  test(`kubectl exec over ${protocol} passes the end of its input on`, async () => {
    const { kubectl, cluster } = environment;
    const count = ["exec", "-i", cluster.pod, "--", "wc", "-c"];
    const counted = await kubectl.output(count, { env, stdin: "x".repeat(MIB) });
    assertEquals(Number(counted), MIB);
  });

  test(`kubectl attach over ${protocol} types into the pod, and logs -f shows it`, async () => {
    const { kubectl, cluster } = environment;
    await using logs = kubectl.start(["logs", "-f", cluster.pod]);
    await using attached = kubectl.start(["attach", "-i", cluster.pod], { env });
    await echoes(attached, `typed over ${protocol}`);
    await logs.stdout.find((line) => line === `typed over ${protocol}`);
    await attached.write("and more\n");
    await logs.stdout.find((line) => line === "and more");
  });

  test(`kubectl port-forward over ${protocol} carries several connections at once`, async () => {
    const { kubectl, cluster } = environment;
    const body = crypto.getRandomValues(new Uint8Array(64 * 1024));
    await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen }, (request) => {
      return new Response(request.body);
    });
    const ports = `:${server.addr.port}`;
    await using forward = kubectl.start(["port-forward", cluster.pod, ports], { env });
    const port = await localPort(forward);
    const echoes = await Promise.all(Array.from({ length: 8 }, async () => {
      using client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
      const response = await fetch(`http://127.0.0.1:${port}/`, { method: "POST", body, client });
      return await response.bytes();
    }));
    for (const echo of echoes) assertEquals(echo, body);
  });

  test(`kubectl cp over ${protocol} brings 50 MB there and back unchanged`, async () => {
    const { kubectl, cluster } = environment;
    const directory = await cluster.scratch();
    const [there, back, inPod] = [`${directory}/there`, `${directory}/back`, `file-${protocol}`];
    await writeRandom(there, 50 * MIB);
    await kubectl.output(["cp", there, `${cluster.pod}:${inPod}`], { env });
    await kubectl.output(["cp", `${cluster.pod}:${inPod}`, back], { env });
    assertEquals(await digest(back), await digest(there));
  });
}

test("exec sessions and a watch that say nothing for a while stay up", async () => {
  const { kubectl, cluster } = environment;
  await using processes = new AsyncDisposableStack();
  const cat = ["exec", "-i", cluster.pod, "--", "cat"];
  const shells = PROTOCOLS.map(({ env }) => processes.use(kubectl.start(cat, { env })));
  // Only this one's connection is silent indeed: kubectl sends a ping every few seconds.
  const watchPods = await environment.curl("/api/v1/pods?watch=true", "--http1.1", "--no-buffer");
  const watch = processes.use(new Process(watchPods));
  await watch.stdout.find((line) => line.includes('"ADDED"'));
  await Promise.all(shells.map((shell) => echoes(shell, "before")));

  await new Promise((resolve) => setTimeout(resolve, SILENCE_MS));
  await Promise.all(shells.map((shell) => echoes(shell, "after")));
  await kubectl.output(["label", "pod", cluster.pod, "silence=over"]);
  await watch.stdout.find((line) => line.includes('"silence":"over"'));
});

test("every stream went through the proxy", async () => {
  const { proxy } = environment;
  const large = await proxy.logged(({ bytesUp }) => Number(bytesUp) > 50 * MIB);
  assert(large.end !== "error", `ended by ${large.endedBy}: ${large.end}`);
});

/** How many streams have been asked for over WebSocket so far, by the API server's own count. */
async function webSocketRequests(): Promise<number> {
  const metrics = await environment.kubectl.output(["get", "--raw=/metrics"]);
  // Exec and attach it translates, port-forward it tunnels. What its `websocket_streaming_requests`
  // counts is all requests, SPDY or not.
  const counts = metrics.matchAll(
    /^apiserver_stream_(?:translator|tunnel)_requests_total\{.*\} (\d+)$/gm,
  );
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}

/** The port at which a `kubectl port-forward` listens. */
async function localPort(forward: Process): Promise<number> {
  const from = /^Forwarding from 127\.0\.0\.1:(\d+)/;
  const [, port] = (await forward.stdout.find((line) => from.test(line))).match(from)!;
  return Number(port);
}

/** Types a line and waits until it comes back. */
async function echoes(process: Process, text: string): Promise<void> {
  await process.write(`${text}\n`);
  await process.stdout.find((line) => line === text);
}

function onListen(): void {
  // Says nothing, where the default prints the address.
}

/** Writes random bytes in pieces: more than a call of `getRandomValues` gives. */
async function writeRandom(path: string, size: number): Promise<void> {
  using file = await Deno.create(path);
  const piece = new Uint8Array(64 * 1024);
  const writer = file.writable.getWriter();
  for (let written = 0; written < size; written += piece.length) {
    await writer.write(crypto.getRandomValues(piece));
  }
}

async function digest(path: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", await Deno.readFile(path));
  return new Uint8Array(hash).toHex();
}
