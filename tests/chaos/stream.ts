/** One direction of a tunnel: a pattern goes in, and nothing but the pattern may come out. */
import { type Pattern, pause, pick, type Random } from "../harness/random.ts";
import type { End } from "./tunnels.ts";

/** What a writer does next. */
export type Step =
  | { readonly write: number; readonly times: number }
  | { readonly pauseMs: number };

/** Writes of 1 byte, of 1 KiB, and of anything up to 1 MiB, with pauses. */
export function randomSteps(random: Random): Step[] {
  const choices: readonly (() => Step)[] = [
    () => ({ pauseMs: random(15) }),
    () => ({ write: 1, times: 1 + random(20) }),
    () => ({ write: 1024, times: 1 + random(20) }),
    () => ({ write: 1 + random(4 * 1024), times: 1 }),
    () => ({ write: 1 + random(128 * 1024), times: 1 }),
    () => ({ write: 1 + random(1024 * 1024), times: 1 }),
  ];
  return Array.from({ length: random(16) }, () => pick(random, choices)());
}

/** Writes the pattern in these steps. @returns How many bytes. */
export async function writeSteps(
  to: End,
  pattern: Pattern,
  steps: readonly Step[],
): Promise<number> {
  let sent = 0;
  for (const step of steps) {
    if ("pauseMs" in step) await pause(step.pauseMs);
    else {
      for (let i = 0; i < step.times; i++) {
        await to.write(pattern.at(sent, step.write));
        sent += step.write;
      }
    }
  }
  return sent;
}

/** Writes that much of the pattern in parts of that size. */
export async function writePattern(
  to: End,
  pattern: Pattern,
  totalBytes: number,
  partBytes: number,
): Promise<void> {
  for (let sent = 0; sent < totalBytes; sent += partBytes) {
    await to.write(pattern.at(sent, Math.min(partBytes, totalBytes - sent)));
  }
}

/** How a stream came to its end, and how much of the pattern it was. */
export interface Received {
  readonly bytes: number;
  readonly end: "eof" | "error";
}

/** Reads to the end; anything that is not the pattern fails. @param before Called before each read. */
export async function readPattern(
  from: End,
  pattern: Pattern,
  before: (bytes: number) => Promise<void> | void = () => {},
): Promise<Received> {
  let bytes = 0;
  for (;;) {
    await before(bytes);
    let chunk: Uint8Array | null;
    try {
      chunk = await from.read();
    } catch {
      return { bytes, end: "error" };
    }
    if (chunk === null) return { bytes, end: "eof" };
    bytes = pattern.check(bytes, chunk);
  }
}

/** A reader that pauses, but not for ever. */
export function randomPauses(random: Random): () => Promise<void> {
  let left = random(30);
  return async () => {
    if (left-- > 0) await pause(random(15));
  };
}
