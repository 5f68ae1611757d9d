/**
 * The types behind {@linkcode parseArgs}: what the result looks like, computed from the options.
 *
 * The flags are collected in two flat records, of those that the result always has and of those that may be missing,
 * with dotted names as they are; `Nest` turns the dots into objects, then defaults, aliases and `_` are added.
 *
 * @module
 */

/** What {@linkcode parseArgs} returns: a property for each flag, and what is no flag. */
export type Args<
  // Without options the values can be anything.
  // deno-lint-ignore no-explicit-any
  TArgs extends Record<string, unknown> = Record<string, any>,
  TDoubleDash extends boolean | undefined = undefined,
> = Flatten<
  & TArgs
  & {
    /** The arguments that belong to no flag. */
    _: Array<string | number>;
  }
  & (boolean extends TDoubleDash ? { "--"?: string[] }
    : true extends TDoubleDash ? { "--": string[] }
    : unknown)
>;

/** Options of {@linkcode parseArgs}. A dot in a name stands for a nested object: `--tls.cert` sets `tls: { cert }`. */
export interface ParseOptions<
  TBooleans extends BooleanNames = BooleanNames,
  TStrings extends Names = Names,
  TCollectable extends Names = Names,
  TNegatable extends Names = Names,
  TDefault extends Defaults = Defaults,
  TAliases extends Aliases | undefined = Aliases | undefined,
  TDoubleDash extends boolean | undefined = boolean | undefined,
> {
  /** Whether what follows `--` goes to the property `--` of the result instead of to `_`. */
  "--"?: TDoubleDash;

  /** Other names of a flag. Whichever is given, all of them are set. */
  alias?: TAliases;

  /**
   * Flags that take no value, except `=…` or a following `true` or `false`. They are `false` unless given. `true`
   * means every flag with two dashes.
   */
  boolean?: TBooleans | ReadonlyArray<Extract<TBooleans, string>>;

  /** The values of flags that are not given. */
  default?: TDefault & Suggestions<Extract<TBooleans | TStrings, string>>;

  /** Whether everything after the first argument that is no flag goes to `_` as it is. */
  stopEarly?: boolean;

  /** Flags whose values are not turned into numbers, `_` for the arguments that belong to no flag. */
  string?: TStrings | ReadonlyArray<Extract<TStrings, string>>;

  /** Flags whose values are gathered in an array. Of other flags the last value counts. */
  collect?: TCollectable | ReadonlyArray<Extract<TCollectable, string>>;

  /** Flags that `--no-…` sets to `false`. */
  negatable?: TNegatable | ReadonlyArray<Extract<TNegatable, string>>;

  /**
   * Called with each argument that the other options do not name; `key` and `value` are missing for one that is no
   * flag. If it returns `false`, the argument is left out of the result.
   */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/** Lets editors offer the names of flags, and allows others. */
type Suggestions<K extends string> = Flatten<
  Record<string, unknown> & { [Name in K]?: unknown }
>;

/** The names in an option, as a union of literals; `undefined` if the option is not given. */
export type Names = string | undefined;

/** The same for `boolean`, which is also `true` for all flags. */
export type BooleanNames = boolean | Names;

/** The values that flags get which are not in the arguments. */
export type Defaults = Record<string, unknown> | undefined;

/** Each name with its aliases. */
export type Aliases<
  Name extends string = string,
  Alias extends string = string,
> = Partial<Record<Name, Alias | readonly Alias[]>>;

/** The flags in the result: typed if any option names them, otherwise anything. */
export type Values<
  B extends BooleanNames,
  S extends Names,
  C extends Names,
  N extends Names,
  D extends Defaults,
  A extends Aliases | undefined,
> = true extends IsGiven<B> | IsGiven<S> | IsGiven<C> ?
    & Record<string, unknown>
    & WithAliases<
      WithDefaults<
        Nest<
          { [K in Extract<B | C, string>]: Leaf<K, B, S, C, N> },
          { [K in Exclude<Extract<S, string>, B | C>]: Leaf<K, B, S, C, N> }
        >,
        NestDefaults<D>
      >,
      A
    >
  // Without names nothing is known about the values, and the package's users read them without a cast.
  // deno-lint-ignore no-explicit-any
  : Record<string, any>;

type IsGiven<T> = undefined extends T ? false : false extends T ? false : true;

/** The value of one flag. */
type Leaf<K, B, S, C, N> =
  | (K extends C ? Item<K, B, S>[] : Item<K, B, S>)
  | (N extends K ? K extends B ? never : false : never);

type Item<K, B, S> = K extends B ? boolean : K extends S ? string : unknown;

/** Turns the dotted names of two flat records, of required and of optional properties, into nested objects. */
type Nest<Required, Optional> =
  & { [K in Head<keyof Required>]: Branch<K, Required, Optional> }
  & {
    [K in Exclude<Head<keyof Optional>, Head<keyof Required>>]?: Branch<
      K,
      Required,
      Optional
    >;
  };

type Branch<K, Required, Optional> = K extends keyof Required ? Required[K]
  : K extends keyof Optional ? Optional[K]
  : Nest<Below<K, Required>, Below<K, Optional>>;

type Head<K> = K extends `${infer First}.${string}` ? First : K;

type Below<K, T> = {
  [Key in keyof T as Key extends `${K & string}.${infer Rest}` ? Rest : never]: T[Key];
};

type NestDefaults<D> = D extends undefined ? undefined
  : string extends keyof D ? D
  : Nest<D, unknown>;

/** A flag with a default is always there, and is either what the arguments say or the default. */
type WithDefaults<T, D> = D extends undefined ? T
  :
    & Omit<T, keyof D>
    & {
      [K in keyof D]: K extends keyof T ? Either<NonNullable<T[K]>, D[K]>
        : unknown;
    };

type Either<T, D> = [T, D] extends [Record<string, unknown>, Record<string, unknown>]
  ? WithDefaults<T, D>
  : T | D;

type WithAliases<T, A> = {
  [K in keyof T as K | AliasOf<K, A>]: T[K];
};

type AliasOf<K, A> = K extends keyof A ? A[K] extends string[] ? A[K][number]
  : string extends A[K] ? never
  : Extract<A[K], string>
  : never;

/** One object type instead of an intersection, so that editors show the properties. */
type Flatten<T> = T extends Record<string, unknown> ? { [K in keyof T]: Flatten<T[K]> }
  : T;
