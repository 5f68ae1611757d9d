/** What a command is: one function from its arguments to an exit code, and what it may touch. */

/** Exit codes of every command. */
export const EXIT_SUCCESS = 0, EXIT_FAILURE = 1, EXIT_USAGE = 2;

/** A command cannot continue: its environment or its output fails. */
export class CannotGoOn extends Error {
  constructor(message: string, readonly exitCode: number) {
    super(message);
  }
}

/** The process around a command. */
export interface Io {
  /**
   * The value of an environment variable.
   *
   * @throws {CannotGoOn} When it is no text.
   */
  readonly env: (name: string) => string | undefined;
  /** All of standard input, up to its end; nothing when it is a terminal. */
  readonly readStdin: () => Promise<string>;
  /** Prints a line on standard output. @throws {CannotGoOn} When nothing can be written there. */
  readonly print: (line: string) => void;
  /** Prints a line on standard error. */
  readonly printError: (line: string) => void;
}

/** Runs a command with the arguments after its name and returns the exit code. */
export type Command = (args: readonly string[], io: Io) => number | Promise<number>;
