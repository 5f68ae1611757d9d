/** What a command is: one function from its arguments to an exit code, and what it may touch. */

/** Exit codes of every command. */
export const EXIT_SUCCESS = 0, EXIT_FAILURE = 1, EXIT_USAGE = 2;

/** An environment variable that holds other bytes than UTF-8. */
export class UnreadableVariable extends Error {
  /** The value is not in the message: it may be a secret. */
  constructor(name: string) {
    super(`${name}: takes text in UTF-8`);
  }
}

/** The process around a command. */
export interface Io {
  /**
   * The value of an environment variable.
   *
   * @throws {UnreadableVariable} When it is no text.
   */
  readonly env: (name: string) => string | undefined;
  /** All of standard input, up to its end; nothing when it is a terminal. */
  readonly readStdin: () => Promise<string>;
  /** Prints a line on standard output. */
  readonly print: (line: string) => void;
  /** Prints a line on standard error. */
  readonly printError: (line: string) => void;
}

/** Runs a command with the arguments after its name and returns the exit code. */
export type Command = (args: readonly string[], io: Io) => number | Promise<number>;
