/** One complete line for each thing that an operator wants to know. */

/** From the least to the most important. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;

/** How important a line is. */
export type LogLevel = typeof LOG_LEVELS[number];

/** What is known beside the message; `undefined` values are left out. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes lines of at least the level that it was made with. */
export type Log = (level: LogLevel, msg: string, fields?: LogFields) => void;

/** Makes a log that gives whole lines, each with its line feed, to `write`. */
export function createLog(
  { level: least, format, write }: {
    level: LogLevel;
    format: "json" | "text";
    write: (line: string) => void;
  },
): Log {
  const threshold = LOG_LEVELS.indexOf(least);
  const print = format === "json" ? jsonLine : textLine;
  return (level, msg, fields = {}) => {
    if (LOG_LEVELS.indexOf(level) < threshold) return;
    write(print(new Date().toISOString(), level, msg, fields));
  };
}

/** JSON, with every character escaped that could begin a line or steer a terminal. */
function quote(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\x7f-\x9f\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function jsonLine(time: string, level: LogLevel, msg: string, fields: LogFields): string {
  return quote({ time, level, msg, ...fields }) + "\n";
}

function textLine(time: string, level: LogLevel, msg: string, fields: LogFields): string {
  const pairs = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${plain(value)}`);
  return [time, level.toUpperCase().padEnd(5), msg, ...pairs].join(" ") + "\n";
}

function plain(value: unknown): string {
  const text = Array.isArray(value) ? value.join(",") : String(value);
  return /^[\w.:,/[\]-]+$/.test(text) ? text : quote(text);
}

/** Where lines go, and a way to wait until they are there. */
export interface LogSink {
  write(line: string): void;
  /** Resolves once everything written so far has gone out. */
  flush(): Promise<void>;
}

/** What may wait for a reader that has stopped reading, in characters. */
const MAX_BACKLOG_CHARS = 4 * 1024 * 1024;

/**
 * Sends lines on in batches, each of whole lines. It never makes a connection wait:
 * when nobody reads them, lines are dropped, and counted in a line of their own.
 */
export function createSink(send: (lines: string) => Promise<void>): LogSink {
  let backlog = "";
  let droppedLines = 0;
  let sending: Promise<void> | undefined;

  async function sendAll(): Promise<void> {
    while (backlog !== "") {
      let batch = backlog;
      backlog = "";
      if (droppedLines > 0) {
        batch += jsonLine(new Date().toISOString(), "warn", "log lines dropped", { droppedLines });
        droppedLines = 0;
      }
      // That nobody can read the log must not stop the proxy: there is nobody to tell.
      await send(batch).catch(() => {});
    }
    sending = undefined;
  }

  return {
    write(line) {
      if (backlog.length > MAX_BACKLOG_CHARS) droppedLines++;
      else backlog += line;
      sending ??= Promise.resolve().then(sendAll);
    },
    flush: () => sending ?? Promise.resolve(),
  };
}

/** Writes to standard error. */
export async function writeStderr(lines: string): Promise<void> {
  const bytes = new TextEncoder().encode(lines);
  for (let sent = 0; sent < bytes.length;) sent += await Deno.stderr.write(bytes.subarray(sent));
}
