/** What people feel: kubectl on a real API server, direct and through each proxy in turn. */
import { Cluster, SERVER } from "../tests/e2e/cluster.ts";
import { Kubectl } from "../tests/e2e/environment.ts";
import type { Contender } from "./contenders.ts";
import type { Row } from "./report.ts";
import { shuffled } from "./statistics.ts";

const OBJECTS = 300;
const PARALLEL = 30;
const IN_TURN = 10;
/** Twenty objects of some 900 kB: a list of 18 MB. */
const LARGE_OBJECTS = 20, LARGE_BYTES = 900_000;

/** One thing that people do. */
interface Task {
  readonly title: string;
  /** @param run Differs each time, so that there is something to do. */
  run(kubectl: Kubectl, run: number): Promise<unknown>;
}

const TASKS: readonly Task[] = [
  {
    title: `kubectl apply of ${OBJECTS} objects`,
    run: (kubectl, run) => kubectl.output(["apply", "--filename=-"], { stdin: smallObjects(run) }),
  },
  {
    title: `kubectl get, ${PARALLEL} at once`,
    run: (kubectl) => Promise.all(Array.from({ length: PARALLEL }, () => getNodes(kubectl))),
  },
  {
    title: `kubectl get, ${IN_TURN} in turn`,
    run: async (kubectl) => {
      for (let i = 0; i < IN_TURN; i++) await getNodes(kubectl);
    },
  },
  {
    title: "kubectl get, a list of 18 MB",
    run: (kubectl) => kubectl.output(["get", "--disable-compression", "--raw", LARGE_LIST]),
  },
];

const LARGE_LIST = "/api/v1/namespaces/large/configmaps";

/**
 * Measures the time of each task, round by round.
 *
 * @param contenders Those that speak CONNECT and lead to the upstream whatever the client asks for,
 *   and `direct`.
 */
export async function measureUsers(
  contenders: readonly Contender[],
  rounds: number,
): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const cluster = stack.use(await Cluster.start());
  const running: { name: string; kubectl: Kubectl }[] = [];
  for (const contender of contenders) {
    const proxy = stack.use(contender.start(cluster.address));
    const kubeconfig = await cluster.kubeconfig(
      proxy.process === undefined ? undefined : `http://${proxy.address}`,
    );
    if (proxy.process === undefined) await leadStraight(kubeconfig, cluster.address);
    running.push({ name: proxy.name, kubectl: new Kubectl(kubeconfig, await cluster.scratch()) });
  }
  await prepare(running[0]!.kubectl);
  const rows = TASKS.map(({ title }) => ({
    ...{ title, better: "lower", unit: "milliseconds" } as const,
    values: Object.fromEntries(running.map(({ name }): [string, number[]] => [name, []])),
  }));
  let runs = 0;
  // The first round warms up: kubectl learns what the server has, proxies compile their code.
  for (let round = 0; round <= rounds; round++) {
    console.error(round === 0 ? "warming up" : `round ${round} of ${rounds}`);
    for (const [at, task] of TASKS.entries()) {
      for (const { name, kubectl } of shuffled(running)) {
        const beganMs = performance.now();
        await task.run(kubectl, ++runs);
        if (round > 0) rows[at]!.values[name]!.push(performance.now() - beganMs);
      }
    }
  }
  return rows;
}

/** Makes a kubeconfig ask the address itself; its certificate is still that of the server's name. */
async function leadStraight(kubeconfig: string, address: string): Promise<void> {
  const text = await Deno.readTextFile(kubeconfig);
  await Deno.writeTextFile(kubeconfig, text.replaceAll(SERVER, `https://${address}`));
}

function getNodes(kubectl: Kubectl): Promise<string> {
  return kubectl.output(["get", "nodes"]);
}

/** Puts there what is read. */
async function prepare(kubectl: Kubectl): Promise<void> {
  const random = crypto.getRandomValues(new Uint8Array(60_000));
  const piece = random.toBase64();
  const data = { text: piece.repeat(Math.ceil(LARGE_BYTES / piece.length)) };
  await kubectl.output(["create", "namespace", "large"]);
  for (let i = 0; i < LARGE_OBJECTS; i++) {
    const stdin = JSON.stringify(configMap("large", `large-${i}`, data));
    await kubectl.output(["create", "--filename=-"], { stdin });
  }
}

/** Objects that are new: to change one, kubectl spends 0.2 s on its schema, whatever the way. */
function smallObjects(run: number): string {
  const items = Array.from(
    { length: OBJECTS },
    (_, i) => configMap("default", `small-${run}-${i}`, {}),
  );
  return JSON.stringify({ apiVersion: "v1", kind: "List", items });
}

function configMap(namespace: string, name: string, data: Record<string, string>): object {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { namespace, name }, data };
}
