/** A whole proxy with its admin server, in the test's own process. */
import { type Config, parseConfig } from "../../lib/config/config.ts";
import { serve, type Server } from "../../lib/serve.ts";
import {
  CONNECT,
  connectTo,
  establish,
  type Peer,
  type TestUpstream,
  type Tunnel,
} from "./peers.ts";
import { assertEndsAreLast, type LogLine, sampleOf, TestLog } from "./proxy.ts";
import { eventually } from "./test.ts";
import { channelName, type Trigger, type TriggerConfig } from "./worker_trigger.ts";

/** The configuration that these flags make on loopback; probes are off. */
export function configOf(flags: readonly string[]): Config {
  const own = ["--host=127.0.0.1", "--port=0", "--admin-port=0", "--log-level=debug"];
  const invocation = parseConfig([...own, ...flags], () => undefined);
  if (invocation.kind !== "run") throw new Error(JSON.stringify(invocation));
  return { ...invocation.config, probeIntervalMs: 0 };
}

/** A running server, and what it has logged. */
export class TestServer implements AsyncDisposable {
  readonly #log = new TestLog();
  #server: Server | undefined;
  readonly #goOn = new Int32Array(new SharedArrayBuffer(8));
  #channel: BroadcastChannel | undefined;

  private constructor() {}

  /** @param config What differs from the flags. */
  static async start(flags: readonly string[], config: Partial<Config> = {}): Promise<TestServer> {
    const test = new TestServer();
    const all: TriggerConfig = { ...configOf(flags), ...config, goOn: test.#goOn };
    const entry = new URL("./worker_with_trigger.ts", import.meta.url);
    test.#server = await serve(all, "0.0.0-test", (lines) => test.#log.write(lines), entry);
    test.#channel = new BroadcastChannel(channelName(all.upstreams[0]!.port));
    return test;
  }

  /** All lines so far. */
  get lines(): readonly LogLine[] {
    return this.#log.lines;
  }

  get server(): Server {
    return this.#server!;
  }

  /** Lets a worker fail. */
  trigger(trigger: Trigger): void {
    this.#channel!.postMessage(trigger);
  }

  /** Blocks a worker, and resolves once it is. */
  async block(worker: number): Promise<void> {
    await eventually("the worker is blocked", () => {
      // One that has only just started may not hear it the first time.
      this.trigger({ worker, how: "block" });
      return Atomics.load(this.#goOn, 1);
    }, 1);
  }

  /** Ends a `block`. */
  goOn(): void {
    Atomics.store(this.#goOn, 0, 1);
  }

  /** The line of that number with that message, as soon as it has been written. */
  logged(msg: string, number = 1): Promise<LogLine> {
    return this.#log.logged(msg, number);
  }

  connect(text = ""): Promise<Peer> {
    const { hostname, port } = this.server.address;
    return connectTo({ host: hostname, port }, text);
  }

  /** A client whose tunnel is up, and the upstream's end of it. */
  async tunnel(upstream: TestUpstream): Promise<Tunnel> {
    return await establish(await this.connect(CONNECT), upstream);
  }

  /** Asks the admin server; a connection of its own each time. */
  async get(path: string): Promise<{ status: number; body: string }> {
    const { hostname, port } = this.server.adminAddress!;
    using peer = await connectTo({ host: hostname, port }, `GET ${path} HTTP/1.0\r\n\r\n`);
    const text = await peer.readText();
    const [head = ""] = text.split("\r\n\r\n", 1);
    return { status: Number(head.split(" ")[1]), body: text.slice(head.length + 4) };
  }

  /** The value of one sample, with its labels if it has some: `name{label="value"}`. */
  async metric(sample: string): Promise<number> {
    const { body } = await this.get("/metrics");
    return sampleOf(body, sample);
  }

  /** Resolves once a sample has that value. */
  async metricIs(sample: string, wanted: number): Promise<void> {
    await eventually(sample, () => this.metric(sample), wanted);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#channel?.close();
    // What is blocked would go on for seconds after it has been terminated.
    this.goOn();
    this.#server?.cut();
    await this.#server?.finished;
    // The channel's own read ends a turn after it has been closed.
    await new Promise((resolve) => setTimeout(resolve));
    assertEndsAreLast(this.lines);
  }
}
