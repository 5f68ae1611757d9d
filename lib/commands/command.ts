/** What a command is: one function from its arguments to an exit code, and what it may touch. */

/** Exit codes of every command. */
export const EXIT_SUCCESS = 0, EXIT_FAILURE = 1, EXIT_USAGE = 2;

/** The process around a command. */
export interface Io {
  /** The value of an environment variable. */
  readonly env: (name: string) => string | undefined;
  /** All of standard input, up to its end; nothing when it is a terminal. */
  readonly readStdin: () => Promise<string>;
  /** Prints a line on standard output. */
  readonly print: (line: string) => void;
  /** Prints a line on standard error. */
  readonly printError: (line: string) => void;
}

/** Runs a command with the arguments behind its name and gives the exit code. */
export type Command = (args: readonly string[], io: Io) => number | Promise<number>;
