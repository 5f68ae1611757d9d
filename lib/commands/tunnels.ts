/** The live tunnels of a running proxy, as a table or as JSON. */
import { parseArgs } from "@std/cli/parse-args";
import { askAdmin, isHttpUrl, NO_ADMIN_PORT, ownAdminUrl } from "./admin_client.ts";
import { EXIT_FAILURE, EXIT_SUCCESS, EXIT_USAGE, type Io } from "./command.ts";

/** What `/tunnels` gives of each. */
interface Tunnel {
  readonly id: number;
  readonly source: string;
  readonly sourcePort: number;
  readonly peer?: string;
  readonly upstream: string;
  readonly since: string;
  readonly idleMs: number;
  readonly bytesUp: number;
  readonly bytesDown: number;
}

/** `tunnels [--output table|json] [URL]`: prints the live tunnels, the oldest first. */
export async function tunnels(args: readonly string[], io: Io): Promise<number> {
  const { _: urls, output, ...unknown } = parseArgs(args, {
    string: ["output", "_"],
    alias: { o: "output" },
    default: { output: "table" },
  });
  const [url = ownAdminUrl("/tunnels", io.env), ...rest] = urls;
  const { o: _alias, ...flags } = unknown;
  const mistakes = [
    ...Object.keys(flags).map((flag) => `--${flag}: no such flag; there is --output`),
    ...output === "table" || output === "json"
      ? []
      : [`--output ${JSON.stringify(output)}: takes table or json`],
    ...url === undefined
      ? [NO_ADMIN_PORT]
      : isHttpUrl(url)
      ? []
      : [`URL ${JSON.stringify(url)}: takes a URL that begins with http://`],
    ...rest.map((text) => `${JSON.stringify(text)}: there is one URL at most`),
  ];
  if (url === undefined || mistakes.length > 0) {
    mistakes.forEach(io.printError);
    io.printError("usage: api-server-proxy tunnels [--output table|json] [URL]");
    io.printError("e.g.   api-server-proxy tunnels http://127.0.0.1:8119/tunnels");
    return EXIT_USAGE;
  }
  const answer = await askAdmin(url);
  if ("failure" in answer || answer.status !== 200) {
    const reason = "failure" in answer ? answer.failure : `${answer.status} ${answer.body}`;
    io.printError(`${url}: ${reason}`);
    return EXIT_FAILURE;
  }
  const tunnels = tunnelsIn(answer.body);
  if (tunnels === undefined) {
    io.printError(`${url}: what answers is no list of tunnels`);
    return EXIT_FAILURE;
  }
  io.print(output === "json" ? answer.body : tableOf(tunnels, Date.now()));
  return EXIT_SUCCESS;
}

/** The tunnels in an answer of `/tunnels`; `undefined` when it is none. */
function tunnelsIn(body: string): readonly Tunnel[] | undefined {
  try {
    const list = JSON.parse(body);
    return Array.isArray(list) && list.every((item) => typeof item?.since === "string")
      ? list
      : undefined;
  } catch {
    return undefined;
  }
}

/** A table as kubectl prints them. */
export function tableOf(tunnels: readonly Tunnel[], nowMs: number): string {
  if (tunnels.length === 0) return "No tunnels are open.";
  const rows = tunnels.map((tunnel) => [
    String(tunnel.id),
    `${tunnel.source.includes(":") ? `[${tunnel.source}]` : tunnel.source}:${tunnel.sourcePort}`,
    tunnel.peer ?? "<none>",
    tunnel.upstream,
    age(nowMs - Date.parse(tunnel.since)),
    age(tunnel.idleMs),
    bytes(tunnel.bytesUp),
    bytes(tunnel.bytesDown),
  ]);
  const table = [["ID", "SOURCE", "PEER", "UPSTREAM", "AGE", "IDLE", "UP", "DOWN"], ...rows];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  return table
    .map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join("   ").trimEnd())
    .join("\n");
}

const UNITS = [["d", 86_400], ["h", 3_600], ["m", 60], ["s", 1]] as const;

/** In the two largest units that say something: 3d4h, 5m10s, 12s. */
function age(ms: number): string {
  let seconds = Math.max(0, Math.floor(ms / 1_000));
  const first = UNITS.findIndex(([, size]) => seconds >= size);
  if (first < 0) return "0s";
  return UNITS.slice(first, first + 2).map(([unit, size]) => {
    const count = Math.floor(seconds / size);
    seconds -= count * size;
    return count === 0 ? "" : `${count}${unit}`;
  }).join("");
}

/** With a unit of 1,024 bytes: 512B, 1.5Ki, 20Mi. */
function bytes(count: number): string {
  let amount = count, unit = "B";
  for (const larger of ["Ki", "Mi", "Gi", "Ti"]) {
    if (amount < 1_024) break;
    amount /= 1_024;
    unit = larger;
  }
  return `${amount < 10 && unit !== "B" ? amount.toFixed(1) : Math.floor(amount)}${unit}`;
}
