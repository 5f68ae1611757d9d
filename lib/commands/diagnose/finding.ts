/** What one step of the diagnosis found. */

/** The links between a client and the API server, in the order in which they are tried. */
export const STEPS = [
  "kubeconfig",
  "address",
  "tcp",
  "connect",
  "tls",
  "readyz",
  "version",
  "user",
] as const;

export type StepName = (typeof STEPS)[number];

/** What a step found, for a person to read. */
export interface Finding {
  readonly result: "ok" | "failed" | "skipped";
  readonly found: string;
  /** What to do or to look at next. */
  readonly next: readonly string[];
}

/** A finding, and what later steps continue with: a step that failed may have it, too. */
export interface Outcome<T> extends Finding {
  readonly value?: T;
}

export function ok(found: string): Finding {
  return { result: "ok", found, next: [] };
}

export function failed(found: string, ...next: readonly string[]): Finding {
  return { result: "failed", found, next };
}

export function skipped(found: string, ...next: readonly string[]): Finding {
  return { result: "skipped", found, next };
}
