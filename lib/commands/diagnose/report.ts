/** How a diagnosis is printed: as lines for people, or as JSON for programs. Pure. */
import { formatAddress } from "../../protocol/address.ts";
import { type Finding, type StepName, STEPS } from "./finding.ts";
import type { Step } from "./steps.ts";
import type { Target } from "./target.ts";

const STEP_WIDTH = Math.max(...STEPS.map((step) => step.length));
const RESULTS = { ok: "ok", failed: "FAILED", skipped: "skipped" } as const;
const INDENT = " ".repeat(STEP_WIDTH + "  skipped".length + "  00000 ms  ".length);

/** What it means that a step is the first to fail, for a reader who does not know the steps. */
const MEANINGS: Readonly<Record<StepName, string>> = {
  kubeconfig: "The kubeconfig does not lead kubectl through the proxy to the API server.",
  address: "The address of the proxy is wrong or unknown.",
  tcp: "This machine cannot connect to the proxy.",
  connect:
    "The proxy's address can be reached, but what is there opens no tunnel to the API server.",
  tls:
    "The proxy opens the tunnel, but there is no trusted connection to the API server through it.",
  readyz: "The path works up to the API server, which is not ready.",
  version: "The path works, but what is at its end is no Kubernetes API server.",
  user: "The path works, but the API server does not let this user in.",
};

/** The first line: what is checked, for a reader who knows nothing of it. */
export function title({ proxy, server }: Target): string {
  return "Checking the path: this machine -> " +
    `HTTP proxy ${proxy === undefined ? "(none)" : placeOf(proxy)} -> ` +
    `Kubernetes API server ${placeOf(server)}`;
}

/** The lines of one step. */
export function linesOf({ step, result, durationMs, found, next }: Step): string[] {
  const time = durationMs === null ? "" : `${durationMs} ms`;
  const columns = [step.padEnd(STEP_WIDTH), RESULTS[result].padEnd(7), time.padStart(8), found];
  return [columns.join("  "), ...next.map((advice) => `${INDENT}-> ${advice}`)].map(printable);
}

/** The last lines: what a broken step means; its name stands at the end of all. */
export function conclusion(steps: readonly Step[]): string[] {
  const broken = firstBroken(steps);
  if (broken !== undefined) return [MEANINGS[broken], `First broken step: ${broken}`];
  const left = steps.filter(({ result }) => result === "skipped").map(({ step }) => step);
  return left.length === 0
    ? ["Every step succeeded: clients on this machine can use the API server."]
    : [`No step failed. Not checked: ${left.join(", ")}`];
}

/** All of it as one JSON document. */
export function jsonOf({ proxy, server }: Target, steps: readonly Step[]): string {
  return JSON.stringify({
    proxy: proxy === undefined ? null : placeOf(proxy),
    server: placeOf(server),
    steps,
    firstBroken: firstBroken(steps) ?? null,
  });
}

/** The name of the first step that failed. */
export function firstBroken(steps: readonly Step[]): Step["step"] | undefined {
  return steps.find(({ result }: Finding) => result === "failed")?.step;
}

function placeOf({ host, port }: { readonly host: string; readonly port: number }): string {
  return formatAddress({ hostname: host, port });
}

/** What servers have sent cannot move the cursor, or make a line of its own. */
function printable(line: string): string {
  return line.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}
