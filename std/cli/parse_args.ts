/**
 * Command line arguments by the conventions of minimist: `--name value`, `--name=value`, `--flag`, `-abc`, `-n5`, `--`.
 *
 * @module
 */
import type {
  Aliases,
  Args,
  BooleanNames,
  Defaults,
  Names,
  ParseOptions,
  Values,
} from "./parse_args_types.ts";
import { isSet, write } from "./_nested.ts";

export type { Args, ParseOptions };

/**
 * Reads command line arguments into an object. Values that look like numbers become numbers, unless their flag is in
 * `string`. What belongs to no flag, and all that follows `--`, is in `_`.
 *
 * Flags that no option names are kept too; the result's type has an index signature for them, of `unknown`, or of
 * `any` if no option names any flag.
 *
 * @throws {TypeError} If a flag is used both as a value and as an object (`--a=1 --a.b=2`).
 */
export function parseArgs<
  TArgs extends Values<
    TBooleans,
    TStrings,
    TCollectable,
    TNegatable,
    TDefaults,
    TAliases
  >,
  TDoubleDash extends boolean | undefined = undefined,
  TBooleans extends BooleanNames = undefined,
  TStrings extends Names = undefined,
  TCollectable extends Names = undefined,
  TNegatable extends Names = undefined,
  TDefaults extends Defaults = undefined,
  TAliases extends Aliases<TAliasArgNames, TAliasNames> | undefined = undefined,
  TAliasArgNames extends string = string,
  TAliasNames extends string = string,
>(
  args: readonly string[],
  options?: ParseOptions<
    TBooleans,
    TStrings,
    TCollectable,
    TNegatable,
    TDefaults,
    TAliases,
    TDoubleDash
  >,
): Args<TArgs, TDoubleDash> {
  const parser = new Parser(options as ParseOptions | undefined);
  return parser.parse(args) as Args<TArgs, TDoubleDash>;
}

class Parser {
  readonly #options: ParseOptions;
  readonly #aliases: Map<string, Set<string>>;
  readonly #booleans: Set<string>;
  readonly #strings: Set<string>;
  readonly #collected: Set<string>;
  readonly #negatable: Set<string>;
  readonly #result: Args = { _: [] };

  constructor(options: ParseOptions = {}) {
    this.#options = options;
    this.#aliases = aliasesOf(options.alias ?? {});
    this.#booleans = this.#named(options.boolean);
    this.#strings = this.#named(options.string);
    this.#collected = this.#named(options.collect);
    this.#negatable = this.#named(options.negatable);
  }

  parse(args: readonly string[]): Args {
    const end = args.indexOf("--");
    const flags = end === -1 ? args : args.slice(0, end);
    const rest = end === -1 ? [] : args.slice(end + 1);

    for (let i = 0; i < flags.length; i++) {
      const arg = flags[i]!;
      const next = flags[i + 1];
      if (!isFlag(arg)) {
        this.#addOperand(arg);
        if (!this.#options.stopEarly) continue;
        this.#result._.push(...flags.slice(i + 1));
        break;
      }
      const tookNext = arg.startsWith("--")
        ? this.#readLong(arg, next)
        : this.#readShort(arg, next);
      if (tookNext) i++;
    }

    this.#addMissing();
    if (this.#options["--"]) this.#result["--"] = rest;
    else this.#result._.push(...rest);
    return this.#result;
  }

  /** Reads `--name`, with its value if there is one. Returns whether the value was the next argument. */
  #readLong(arg: string, next: string | undefined): boolean {
    const negated = /^--no-./s.test(arg);
    const text = arg.slice(negated ? 5 : 2);
    const equals = text.indexOf("=", 1); // a name has at least one character
    if (equals !== -1) {
      const name = text.slice(0, equals);
      const value = text.slice(equals + 1);
      this.#set(
        name,
        this.#booleans.has(name) ? value !== "false" : value,
        arg,
      );
      return false;
    }
    if (negated && this.#negatable.has(text)) {
      this.#set(text, false, arg, { replace: true });
      return false;
    }
    const name = negated ? `no-${text}` : text;
    const takesNone = this.#options.boolean === true || this.#isBoolean(name);
    return this.#setWithNext(name, arg, next, takesNone, /^-/);
  }

  /** Reads one or more letters after one dash, the last of them with its value. Returns the same as for a long one. */
  #readShort(arg: string, next: string | undefined): boolean {
    const last = arg.length - 1;
    for (let i = 1; i < last; i++) {
      const value = attachedValue(arg, i);
      if (value !== undefined) {
        this.#set(arg[i]!, value, arg);
        return false;
      }
      this.#set(arg[i]!, this.#bare(arg[i]!), arg);
    }
    const name = arg[last]!;
    return name !== "-" &&
      this.#setWithNext(name, arg, next, this.#isBoolean(name), /^--?[^-]/);
  }

  #setWithNext(
    name: string,
    arg: string,
    next: string | undefined,
    takesNone: boolean,
    startOfFlag: RegExp,
  ): boolean {
    if (next && takesNone && (next === "true" || next === "false")) {
      this.#set(name, next === "true", arg);
      return true;
    }
    if (next && !takesNone && !startOfFlag.test(next)) {
      this.#set(name, next, arg);
      return true;
    }
    this.#set(name, this.#bare(name), arg);
    return false;
  }

  /** The value of a flag that is given without one. */
  #bare(name: string): string | boolean {
    return this.#strings.has(name) ? "" : true;
  }

  #set(
    name: string,
    value: string | boolean,
    arg: string,
    { replace = false } = {},
  ): void {
    if (
      !this.#isKnown(name, arg) &&
      this.#options.unknown?.(arg, name, value) === false
    ) return;
    const converted = typeof value === "string" && !this.#strings.has(name)
      ? numberIfNumeric(value)
      : value;
    const append = !replace && this.#collected.has(name);
    for (const each of this.#allNames(name)) {
      write(this.#result, each, converted, append);
    }
  }

  #addOperand(arg: string): void {
    if (this.#options.unknown?.(arg) === false) return;
    this.#result._.push(this.#strings.has("_") ? arg : numberIfNumeric(arg));
  }

  #addMissing(): void {
    for (const [name, value] of Object.entries(this.#options.default ?? {})) {
      if (isSet(this.#result, name)) continue;
      for (const each of this.#allNames(name)) write(this.#result, each, value);
    }
    for (const name of this.#booleans) {
      if (isSet(this.#result, name)) continue;
      write(this.#result, name, this.#collected.has(name) ? [] : false);
    }
    for (const name of this.#strings) {
      if (isSet(this.#result, name) || !this.#collected.has(name)) continue;
      write(this.#result, name, []);
    }
  }

  #isKnown(name: string, arg: string): boolean {
    return this.#booleans.has(name) || this.#strings.has(name) ||
      this.#collected.has(name) || this.#aliases.has(name) ||
      this.#options.boolean === true && /^--[^=]+$/.test(arg);
  }

  #isBoolean(name: string): boolean {
    return this.#allNames(name).some((each) => this.#booleans.has(each));
  }

  #allNames(name: string): string[] {
    return [name, ...this.#aliases.get(name) ?? []];
  }

  /** The names in an option, with all their aliases. */
  #named(option: boolean | string | readonly string[] | undefined) {
    const names = typeof option === "boolean" ? [] : [option ?? []].flat();
    return new Set(
      names.filter((name) => name !== "").flatMap((name) => this.#allNames(name)),
    );
  }
}

/** Every name that has another one, with the others. If names are in two entries, the later entry counts. */
function aliasesOf(option: Aliases): Map<string, Set<string>> {
  const others = new Map<string, Set<string>>();
  for (const [name, aliases] of Object.entries(option)) {
    if (aliases === undefined) {
      throw new TypeError("Alias value must be defined");
    }
    const group = new Set([name, aliases].flat());
    for (const each of group) {
      others.set(each, group.difference(new Set([each])));
    }
  }
  return others;
}

/** A lone dash is an operand: by convention it stands for the standard input or output. */
function isFlag(arg: string): boolean {
  return arg.length > 1 && arg.startsWith("-");
}

/** What follows the letter at `i`, if it is a value (`-n5`, `-n=5`, `-I/usr`) and not more letters. */
function attachedValue(arg: string, i: number): string | undefined {
  const rest = arg.slice(i + 1);
  if (rest === "-") return rest;
  if (rest === "=") return "";
  if (/[a-z]/i.test(arg[i]!)) {
    const assigned = /=(.+)/.exec(rest)?.[1];
    if (assigned !== undefined) return assigned;
    if (/\d\.?$/.test(rest)) return rest;
  }
  return rest.length > 1 && /^\W/.test(rest) ? rest : undefined;
}

function numberIfNumeric(text: string): string | number {
  const number = Number(text);
  return text.trim() !== "" && Number.isFinite(number) ? number : text;
}
