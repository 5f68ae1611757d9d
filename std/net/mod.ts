/**
 * The part of `@std/net` that this project uses, with the same names and behaviour. As in the package itself, what is
 * unstable has a path of its own: `@std/net/unstable-ip`.
 *
 * @module
 */
export * from "./get_available_port.ts";
