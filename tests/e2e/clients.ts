/** Clients in other languages, installed or built for the suite. */
import { inRoot } from "../sources.ts";
import { output } from "../harness/child_process.ts";
import { CACHE } from "./cluster.ts";

/** Where their sources are. */
export const CLIENTS = inRoot("tests/e2e/clients");
const JAVASCRIPT_CLIENT = "@kubernetes/client-node@1.4.0";
const PYTHON_CLIENT = "kubernetes==36.0.3";
const INSTALL_LIMIT_MS = 10 * 60_000;

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
  await install("npm", "install", `--prefix=${directory}`, ...packages);
  return directory;
});

const pythonPackages = once(async () => {
  const directory = `${CACHE}/python`;
  await install("python3", "-m", "venv", directory);
  await install(`${directory}/bin/pip`, "install", "--quiet", PYTHON_CLIENT);
  return directory;
});

const rustBuild = once(async () => {
  const directory = `${CACHE}/rust`;
  const manifest = ["--locked", `--manifest-path=${CLIENTS}/rust/Cargo.toml`];
  await install("cargo", "build", "--quiet", ...manifest, `--target-dir=${directory}`);
  return directory;
});

async function install(...command: string[]): Promise<void> {
  await output(command, { limitMs: INSTALL_LIMIT_MS });
}

/** A function that does it at its first call, and gives the same from then on. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => made ??= make();
}
