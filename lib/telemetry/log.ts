/** One complete line for each thing that an operator wants to know. */

/** From the least to the most important. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;

/** How important a line is. */
export type LogLevel = typeof LOG_LEVELS[number];

/** What a line has besides its message; `undefined` values are left out. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes lines of at least the level that it was made with. Fields that cost something come as a function. */
export type Log = (level: LogLevel, msg: string, fields?: LogFields | (() => LogFields)) => void;

/** Makes a log that gives whole lines, each with its line feed, to `write`. */
export function createLog(
  { level: least, format, color = false, write }: {
    level: LogLevel;
    format: "json" | "text";
    /** Whether text may be coloured: it goes to a terminal, and `NO_COLOR` is not set. */
    color?: boolean | undefined;
    write: (line: string) => void;
  },
): Log {
  const threshold = LOG_LEVELS.indexOf(least);
  const print = format === "json" ? jsonLine : color ? colorLine : textLine;
  return (level, msg, fields = {}) => {
    if (LOG_LEVELS.indexOf(level) < threshold) return;
    const known = typeof fields === "function" ? fields() : fields;
    write(print(isoTime(), level, msg, known));
  };
}

let isoTimeMs = NaN;
let lastIsoTime = "";

/** Lines of one millisecond share its text. */
function isoTime(): string {
  const nowMs = Date.now();
  if (nowMs !== isoTimeMs) {
    isoTimeMs = nowMs;
    lastIsoTime = new Date(nowMs).toISOString();
  }
  return lastIsoTime;
}

/** What JSON leaves as it is, but could begin a line or steer a terminal. */
const UNSAFE = /[\x7f-\x9f\u2028\u2029]/;
const ALL_UNSAFE = new RegExp(UNSAFE, "g");

/** JSON in which nothing can begin a line or steer a terminal. */
function quote(value: unknown): string {
  const text = JSON.stringify(value);
  if (!UNSAFE.test(text)) return text;
  return text.replace(
    ALL_UNSAFE,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function jsonLine(time: string, level: LogLevel, msg: string, fields: LogFields): string {
  // The fields are not copied into one object with the rest: that costs as much as to print them.
  const head = `{"time":"${time}","level":"${level}","msg":${quote(msg)}`;
  const rest = quote(fields).slice(1);
  return rest === "}" ? `${head}}\n` : `${head},${rest}\n`;
}

/** The day is left out: text is for watching live. Most messages fit into the column. */
const MSG_COLUMNS = 13;
const PLAIN = (text: string) => text;
const sgr = (code: number) => (text: string) => `\x1b[${code}m${text}\x1b[0m`;
const DIM = sgr(2), BOLD = sgr(1);
const LEVEL_STYLES = { debug: DIM, info: sgr(36), warn: sgr(33), error: sgr(31) };

function textLine(time: string, level: LogLevel, msg: string, fields: LogFields): string {
  return styledLine(time, level, msg, fields, { dim: PLAIN, bold: PLAIN, level: PLAIN });
}

function colorLine(time: string, level: LogLevel, msg: string, fields: LogFields): string {
  return styledLine(time, level, msg, fields, { dim: DIM, bold: BOLD, level: LEVEL_STYLES[level] });
}

function styledLine(
  time: string,
  level: LogLevel,
  msg: string,
  fields: LogFields,
  style: Record<"dim" | "bold" | "level", (text: string) => string>,
): string {
  const pairs = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => style.dim(`${name}=`) + plain(value));
  const columns = [
    style.dim(time.slice(time.indexOf("T") + 1)),
    style.level(level.toUpperCase().padEnd(5)),
    style.bold(pairs.length === 0 ? msg : msg.padEnd(MSG_COLUMNS)),
  ];
  return [...columns, ...pairs].join(" ") + "\n";
}

function plain(value: unknown): string {
  const text = Array.isArray(value) ? value.join(",") : String(value);
  return /^[\w.:,/[\]-]+$/.test(text) ? text : quote(text);
}

/** Where lines go, and a way to wait until they are there. */
export interface LogSink {
  /** @param lines Whole ones, one or several. */
  write(lines: string): void;
  /** Resolves once everything written so far has been sent. */
  flush(): Promise<void>;
}

/** What may wait for a reader that has stopped reading, in characters. */
const MAX_BACKLOG_CHARS = 4 * 1024 * 1024;

/** Lines wait so long for others: to write each by itself takes a tenth of what a connection costs. */
const BATCH_MS = 50;

/**
 * Sends lines on in batches, each of whole lines. It never makes a connection wait:
 * if they are not read, lines are dropped, and counted in a line of their own.
 */
export function createSink(send: (lines: string) => Promise<void>): LogSink {
  let backlog = "";
  let droppedLines = 0;
  let sending: Promise<void> | undefined;

  async function sendAll(): Promise<void> {
    while (backlog !== "") {
      const batch = backlog, told = droppedLines;
      backlog = "";
      const notice = told === 0
        ? ""
        : jsonLine(isoTime(), "warn", "log lines dropped", { droppedLines: told });
      try {
        await send(batch + notice);
        droppedLines -= told;
      } catch {
        // A log that cannot be read must not stop the proxy.
        droppedLines += countLines(batch);
      }
    }
    sending = undefined;
  }

  return {
    write(lines) {
      if (backlog.length > MAX_BACKLOG_CHARS) droppedLines += countLines(lines);
      else backlog += lines;
      sending ??= new Promise((resolve) => setTimeout(resolve, BATCH_MS)).then(sendAll);
    },
    flush: () => sending ?? Promise.resolve(),
  };
}

function countLines(text: string): number {
  return text.split("\n").length - 1;
}

/** The pause before a full pipe is tried again is doubled from the first to the last of these. */
const FIRST_PIPE_PAUSE_MS = 1, LAST_PIPE_PAUSE_MS = 100;

/**
 * Writes to standard error, all of it: a pipe that is full and does not block is waited for.
 *
 * @throws When its reader is gone.
 */
export async function writeStderr(lines: string): Promise<void> {
  const bytes = new TextEncoder().encode(lines);
  let pauseMs = FIRST_PIPE_PAUSE_MS;
  for (let sent = 0; sent < bytes.length;) {
    try {
      sent += await Deno.stderr.write(bytes.subarray(sent));
      pauseMs = FIRST_PIPE_PAUSE_MS;
    } catch (error) {
      if (!(error instanceof Deno.errors.WouldBlock)) throw error;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
      pauseMs = Math.min(pauseMs * 2, LAST_PIPE_PAUSE_MS);
    }
  }
}
