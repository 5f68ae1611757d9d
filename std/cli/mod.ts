/**
 * The part of `@std/cli` that this project uses, with the same names and behaviour.
 *
 * @module
 */
export * from "./parse_args.ts";
