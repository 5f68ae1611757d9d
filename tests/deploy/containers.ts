/** The image, built from the Dockerfile, and containers of it as confined as a cluster has them. */
import { type Outcome, output, Process, run } from "../harness/child_process.ts";
import { inRoot } from "../sources.ts";
import { type Arch, OWN_ARCH, TARGETS } from "../../release/denort.ts";
import { find, isFile } from "./tools.ts";

/** Where runc is there, podman is to take it: not every kernel is enough for its own choice. */
const PODMAN = ["podman", ...(find("runc") ? ["--runtime=runc"] : [])];
/** As under Pod Security `restricted`, and more; the limits are what not every kernel gives by itself. */
const CONFINED = [
  ...["--pull=never", "--read-only", "--read-only-tmpfs=false", "--cap-drop=ALL"],
  ...[
    "--security-opt=no-new-privileges",
    "--ulimit=nofile=10000:10000",
    "--ulimit=nproc=9000:9000",
  ],
];
const DENO_IMAGE = "docker.io/denoland/deno";
const BASE_IMAGE = "gcr.io/distroless/cc-debian12:nonroot";
const IMAGE = "localhost/api-server-proxy:test";
/** What stands in the image as the commit it was built from. */
export const COMMIT = "0123456789ab";

const HAS_TOOLS = ["buildah", "podman"].every((tool) => find(tool) !== undefined);

async function firstLine(command: readonly string[]): Promise<string | undefined> {
  if (!HAS_TOOLS) return undefined;
  const { code, stdout } = await run(command).catch(() => ({ code: 1, stdout: "" }));
  return code === 0 ? stdout.split("\n")[0] || undefined : undefined;
}

const denoVersion = await firstLine([...PODMAN, "images", "--format={{.Tag}}", DENO_IMAGE]);
const base = await firstLine([...PODMAN, "images", "--format={{.ID}}", BASE_IMAGE]);

/** Where no container can be started, podman itself fails; else it finds no such program. */
async function canRun(): Promise<boolean> {
  if (base === undefined) return false;
  const nothing = [...CONFINED, "--rm", "--network=none", BASE_IMAGE, "/nothing"];
  return (await run([...PODMAN, "run", ...nothing])).code === 127;
}

/** What the image is built and run with, and whether it is there. */
export const WANTS: Record<string, boolean> = {
  "buildah and podman": HAS_TOOLS,
  [`a local ${DENO_IMAGE}`]: denoVersion !== undefined,
  [`a local ${BASE_IMAGE}`]: base !== undefined,
  "containers that start": await canRun(),
};

/** Where `deno task denort` puts the runtime for a processor. */
function denortOf(arch: Arch): string {
  return inRoot(`.cache/denort-${Deno.version.deno}-${TARGETS[arch]}`);
}

/** What an image for arm64 is built with beside that. */
export const WANTS_ARM64: Record<string, boolean> = {
  [`${denortOf("arm64")} (deno task denort --arch arm64)`]: isFile(denortOf("arm64")),
};

/**
 * Builds from the Dockerfile with no network; layers that are up to date are kept. The runtime that the
 * build would fetch is mounted where it looks for one.
 */
async function build(arch: Arch, image: string, ...options: string[]): Promise<void> {
  const inspect = ["image", "inspect", "--format={{.Config.Env}}", `${DENO_IMAGE}:${denoVersion}`];
  const env = await output([...PODMAN, ...inspect]);
  const denort = denortOf(arch);
  const place = /\bDENORT_BIN=([^ \]]+)/.exec(env)?.[1] ?? denort.replace(inRoot(""), "/src/");
  const args = [`DENO_VERSION=${denoVersion}`, `COMMIT=${COMMIT}`, `TARGETARCH=${arch}`];
  await output([
    ...["buildah", "bud", "--layers", "--pull-never", "--network=none", `--tag=${image}`],
    ...args.map((arg) => `--build-arg=${arg}`),
    ...(isFile(denort) ? [`--volume=${denort}:${place}:ro`] : []),
    ...[...options, inRoot("")],
  ], { limitMs: 600_000 });
}

/** Builds the image for this machine. */
export async function buildImage(): Promise<void> {
  await build(OWN_ARCH, IMAGE);
}

/**
 * Builds the program of the image for arm64 as BuildKit does on this machine: its `--platform` gives
 * TARGETARCH, and the first stage stays on this processor. Buildah gives all stages one platform.
 */
export async function buildArm64Binary(): Promise<Uint8Array> {
  const image = `${IMAGE}-arm64`;
  await build("arm64", image, "--target=build");
  const folder = (await output([...PODMAN, "image", "mount", image])).trim();
  try {
    return await Deno.readFile(`${folder}/src/bin/api-server-proxy`);
  } finally {
    await output([...PODMAN, "image", "unmount", image]);
  }
}

/** What podman tells of the image. */
// deno-lint-ignore no-explicit-any -- podman's own JSON
export async function inspectImage(): Promise<any> {
  return JSON.parse(await output([...PODMAN, "image", "inspect", IMAGE]))[0];
}

/** The size of the image that it stands on. */
export async function baseSize(): Promise<number> {
  return Number(await output([...PODMAN, "image", "inspect", "--format={{.Size}}", BASE_IMAGE]));
}

/** How a container differs from the usual. */
export interface ContainerOptions {
  readonly entrypoint?: string;
  readonly user?: string;
  readonly memory?: string;
  /** `none` gives it a loopback interface of its own, and takes it away from the host's. */
  readonly network?: "host" | "none";
  readonly hosts?: Record<string, string>;
}

/** The command that runs the image. */
function command(args: readonly string[], options: ContainerOptions): string[] {
  const { entrypoint, user, memory, network = "host", hosts = {} } = options;
  return [
    ...[...PODMAN, "run", ...CONFINED, `--network=${network}`],
    ...(entrypoint ? [`--entrypoint=${entrypoint}`] : []),
    ...(user ? [`--user=${user}`] : []),
    ...(memory ? [`--memory=${memory}`, `--memory-swap=${memory}`] : []),
    ...Object.entries(hosts).map(([name, address]) => `--add-host=${name}:${address}`),
    ...[IMAGE, ...args],
  ];
}

/** Runs the image to its end. @param options `stdin` is what it reads. */
export async function runImage(
  args: readonly string[],
  { stdin, ...options }: ContainerOptions & { readonly stdin?: string } = {},
): Promise<Outcome> {
  const [podman, ...rest] = command(args, options);
  const at = rest.indexOf("run") + 1;
  const once = ["--rm", ...(stdin === undefined ? [] : ["--interactive"])];
  return await run([podman!, ...rest.slice(0, at), ...once, ...rest.slice(at)], {
    ...stdin !== undefined && { stdin },
  });
}

/** A container in which the proxy runs. */
export class Container implements AsyncDisposable {
  readonly id: string;
  readonly #logs: Process;
  /** Where the proxy listens, by its log. */
  readonly port: number;

  private constructor(id: string, logs: Process, port: number) {
    this.id = id;
    this.#logs = logs;
    this.port = port;
  }

  static async start(args: readonly string[], options: ContainerOptions = {}): Promise<Container> {
    const [podman, ...rest] = command(args, options);
    const at = rest.indexOf("run") + 1;
    const detached = [podman!, ...rest.slice(0, at), "--detach", ...rest.slice(at)];
    const id = (await output(detached)).trim();
    const logs = new Process([...PODMAN, "logs", "--follow", id]);
    try {
      const line = await logs.stderr.find((line) => line.includes('"msg":"listening"'));
      return new Container(id, logs, Number(/:(\d+)$/.exec(JSON.parse(line).address)![1]));
    } catch (error) {
      await output([...PODMAN, "rm", "--force", id]);
      throw error;
    }
  }

  /** What podman tells of it, by a Go template. */
  async inspect(template: string): Promise<string> {
    return (await output([...PODMAN, "inspect", `--format=${template}`, this.id])).trim();
  }

  /** Runs a command inside. */
  async exec(...args: string[]): Promise<Outcome> {
    return await run([...PODMAN, "exec", this.id, ...args]);
  }

  /** Sends it a signal. */
  async kill(signal: string): Promise<void> {
    await output([...PODMAN, "kill", `--signal=${signal}`, this.id]);
  }

  /** Waits for its end. @returns Its exit code. */
  async ended(): Promise<number> {
    return Number(await output([...PODMAN, "wait", this.id]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await output([...PODMAN, "rm", "--force", "--time=0", this.id]);
    await this.#logs[Symbol.asyncDispose]();
  }
}
