/**
 * Deno's runtime for compiled programs, `denort`: what `deno compile` puts in front of a program.
 *
 *   deno task denort [--arch amd64|arm64]     fetches it, for a build without a network later
 */
import { parseArgs } from "@std/cli";
import { architectureOf, stripSymbols } from "./elf.ts";
import { unzipFirst } from "./zip.ts";

/** Deno's names for the machines that releases are for. */
export const TARGETS = {
  amd64: "x86_64-unknown-linux-gnu",
  arm64: "aarch64-unknown-linux-gnu",
} as const;

/** A processor, by the name that container images have for it. */
export type Arch = keyof typeof TARGETS;

/** Where Deno's releases are. */
const SITE = "https://dl.deno.land";
const CACHE = new URL("../.cache/", import.meta.url);

/** This machine's processor. */
export const OWN_ARCH: Arch = Deno.build.arch === "aarch64" ? "arm64" : "amd64";

/**
 * The processor that `--arch` names, if any.
 *
 * @throws {Error} when it is not one of {@linkcode TARGETS}, or when anything else is given.
 */
export function parseArch(args: readonly string[]): Arch | undefined {
  const { arch, _: rest, ...others } = parseArgs([...args], { string: ["arch"] });
  const [unknown] = [...rest, ...Object.keys(others)];
  if (unknown !== undefined) throw new Error(`"${unknown}" is unknown: give --arch amd64 or arm64`);
  if (arch !== undefined && !(arch in TARGETS)) {
    throw new Error(`--arch "${arch}" is unknown: give amd64 or arm64`);
  }
  return arch as Arch | undefined;
}

/**
 * The runtime for a processor, of this Deno's own release and without symbols: the file that the
 * variable `DENORT_BIN` names, one that was fetched before, or from Deno's site.
 *
 * @throws {Error} when there is none, or not for that processor.
 */
export async function denort(arch: Arch): Promise<Uint8Array<ArrayBuffer>> {
  const path = Deno.env.get("DENORT_BIN") || await cachedDenort(arch);
  try {
    const image = await Deno.readFile(path);
    const found = architectureOf(image);
    if (found !== arch) throw new Error(`it is for ${found}, not for ${arch}`);
    return stripSymbols(image);
  } catch (error) {
    throw new Error(`no denort in ${path}: ${(error as Error).message}`);
  }
}

/** The path in `.cache` of the runtime, which is fetched if it is not there. */
async function cachedDenort(arch: Arch): Promise<string> {
  const path = new URL(`denort-${Deno.version.deno}-${TARGETS[arch]}`, CACHE).pathname;
  if (await Deno.stat(path).then(() => true, () => false)) return path;
  const image = await fetchDenort(arch);
  await Deno.mkdir(CACHE, { recursive: true });
  // Whole or not at all, also when two builds fetch it at once.
  const partial = `${path}.${Deno.pid}`;
  await Deno.writeFile(partial, image);
  await Deno.rename(partial, path);
  return path;
}

/**
 * The runtime for a processor, of this Deno's own release, as it is published.
 *
 * @throws {Error} when it cannot be had; says from where.
 */
export async function fetchDenort(arch: Arch, site = SITE): Promise<Uint8Array> {
  const url = `${site}/release/v${Deno.version.deno}/denort-${TARGETS[arch]}.zip`;
  try {
    const response = await fetch(url);
    const archive = await response.bytes();
    if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
    return await unzipFirst(archive);
  } catch (error) {
    const { message, cause } = error as Error;
    const reason = cause instanceof Error ? `${message}: ${cause.message}` : message;
    throw new Error(`${url}: ${reason}; DENORT_BIN can name a denort of this release`);
  }
}

if (import.meta.main) {
  try {
    await denort(parseArch(Deno.args) ?? OWN_ARCH);
  } catch (error) {
    console.error((error as Error).message);
    Deno.exit(1);
  }
}
