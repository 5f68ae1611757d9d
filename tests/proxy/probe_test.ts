import { assertEquals } from "@std/assert";
import { isDown, isUp, Prober } from "../../lib/proxy/probe.ts";
import type { Log } from "../../lib/telemetry/log.ts";
import { TestUpstream } from "../harness/peers.ts";
import { test } from "../harness/test.ts";

test("probes call an upstream down after two failures, and up again, once each", async () => {
  const upstream = new TestUpstream();
  const { authority } = upstream;
  const lines: { level: string; msg: string }[] = [];
  let wanted = Promise.withResolvers<void>();
  const log: Log = (level, msg) => {
    lines.push({ level, msg });
    wanted.resolve();
  };
  void upstream.serve(() => Promise.resolve());
  const states = new Int32Array(1);
  const prober = new Prober({
    authorities: [authority],
    intervalMs: 10,
    isSelf: () => false,
    log,
    states,
  });
  using _end = { [Symbol.dispose]: () => prober.close() };
  upstream[Symbol.dispose]();
  await wanted.promise;
  assertEquals(isDown(states, 0), true);
  wanted = Promise.withResolvers<void>();
  using again = new TestUpstream(authority.host, authority.port);
  void again.serve(() => Promise.resolve());
  await wanted.promise;
  assertEquals(isUp(states, 0), true);
  assertEquals(lines, [
    { level: "error", msg: "upstream is down" },
    { level: "info", msg: "upstream is up again" },
  ]);
});
