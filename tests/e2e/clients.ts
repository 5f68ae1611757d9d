/** Clients in other languages, installed or built for the suite. */
import { inRoot } from "../sources.ts";
import { CACHE, fillCache } from "../harness/cache.ts";

/** Where their sources are. */
export const CLIENTS = inRoot("tests/e2e/clients");
const JAVASCRIPT_CLIENT = "@kubernetes/client-node@1.4.0";
const PYTHON_CLIENT = "kubernetes==36.0.3";

/** The command that runs a script which needs the official JavaScript client. */
export async function javascript(name: string): Promise<string[]> {
  const directory = await javascriptPackages();
  // Node looks for packages beside the script.
  const script = `${directory}/${name}`;
  await Deno.copyFile(`${CLIENTS}/${name}`, script);
  return ["node", script];
}

/** The command that runs a script which needs the official Python client, or requests. */
export async function python(name: string): Promise<string[]> {
  // Some requests are made without verification, and warned of.
  return [`${await pythonPackages()}/bin/python`, "-W", "ignore", `${CLIENTS}/${name}`];
}

/** The command that runs the program in Rust. */
export async function rust(): Promise<string[]> {
  return [`${await rustBuild()}/debug/get`];
}

const javascriptPackages = once(async () => {
  const directory = `${CACHE}/javascript`;
  await Deno.mkdir(directory, { recursive: true });
  const packages = ["--no-save", "--no-package-lock", "--no-audit", JAVASCRIPT_CLIENT];
  await fillCache(["npm", "install", `--prefix=${directory}`, ...packages]);
  return directory;
});

const pythonPackages = once(async () => {
  const directory = `${CACHE}/python`;
  // Not over one that another file of tests uses just now.
  const make = `test -x ${directory}/bin/pip || python3 -m venv ${directory}`;
  await fillCache(["sh", "-c", make]);
  await fillCache([`${directory}/bin/pip`, "install", "--quiet", PYTHON_CLIENT]);
  return directory;
});

const rustBuild = once(async () => {
  const directory = `${CACHE}/rust`;
  const manifest = ["--locked", `--manifest-path=${CLIENTS}/rust/Cargo.toml`];
  await fillCache(["cargo", "build", "--quiet", ...manifest, `--target-dir=${directory}`]);
  return directory;
});

/** A function that does it at its first call, and gives the same from then on. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => made ??= make();
}
