import { assertEquals } from "@std/assert";
import { awakeDelay, delay, within } from "../../lib/telemetry/delay.ts";
import { test } from "../harness/test.ts";

const never = new AbortController().signal;

/** Holds this thread up, as a stopped process is held up. */
function standStill(ms: number): void {
  for (const endMs = performance.now() + ms; performance.now() < endMs;);
}

for (const ms of [350, 50]) {
  test(`awakeDelay() is not over at once when the process has stood still: ${ms} ms`, async () => {
    const order: string[] = [];
    const awake = awakeDelay(ms).then(() => order.push("awake"));
    standStill(1_000);
    // What comes after the standstill is heard before the delay is over.
    await delay(10, never).then(() => order.push("other"));
    await awake;
    assertEquals(order, ["other", "awake"]);
  });
}

test("within() lets what came while the process stood still be heard first", async () => {
  const isLate = await within(350, new Error("late"), never, async (signal) => {
    standStill(1_000);
    await delay(10, never);
    return signal.aborted;
  });
  assertEquals(isLate, false);
});

test("within() aborts in time, with its reason", async () => {
  const late = new Error("late");
  const reason = await within(
    50,
    late,
    never,
    (signal) =>
      new Promise((resolve) => signal.addEventListener("abort", () => resolve(signal.reason))),
  );
  assertEquals(reason, late);
});

test("awakeDelay() is over as soon as its signal is aborted", async () => {
  const over = new AbortController();
  const waiting = awakeDelay(3_600_000, over.signal);
  over.abort();
  await waiting;
});

test("awakeDelay() waits for longer than a timer can", async () => {
  const over = new AbortController();
  const first = await Promise.race([
    awakeDelay(2 ** 31, over.signal).then(() => "late"),
    delay(10, never).then(() => "other"),
  ]);
  over.abort();
  assertEquals(first, "other");
});
