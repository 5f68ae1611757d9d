/**
 * One of three real API servers hangs under watches and requests: what `/metrics` and `/tunnels`
 * report meanwhile, as a table and as docs/operating.svg. Run it with `deno task operating`.
 */
import { Cluster, INFORMERS, SERVER } from "../tests/e2e/cluster.ts";
import { Process } from "../tests/harness/child_process.ts";
import { ProxyProcess } from "../tests/harness/process.ts";
import { eventually } from "../tests/harness/test.ts";
import { inRoot } from "../tests/sources.ts";
import { drawOperating, type Event, type Sample } from "./operating_chart.ts";

const WATCHES = 300;
const REQUESTS_PER_SECOND = 25;
/** Like the timeout of many clients. */
const REQUEST_TIMEOUT_MS = 5_000;
const BEFORE_SECONDS = 12, HANG_SECONDS = 37, AFTER_SECONDS = 20;
const PREFIX = "api_server_proxy_";

await using first = await Cluster.start();
await using second = await Cluster.start({ peer: first });
await using third = await Cluster.start({ peer: first });
const addresses = [first, second, third].map(({ address }) => address);
await using proxy = await ProxyProcess.start({ flags: [`--upstream=${addresses}`] });
const areUp = async () => upOf(await proxy.metrics());
await eventually("all are up", areUp, [1, 1, 1]);

const kubeconfig = await first.kubeconfig(proxy.url);
await using informers = new Process([INFORMERS, `-kubeconfig=${kubeconfig}`, `-count=${WATCHES}`]);
await informers.stdout.find((line) => JSON.parse(line).seen === "");

const authorization = `Bearer ${await first.token("admin")}`;
const counts = { answered: 0, refused: 0 };
const client = Deno.createHttpClient({
  proxy: { url: proxy.url },
  caCerts: [await Deno.readTextFile(first.ca)],
  poolMaxIdlePerHost: 0,
});
const requests = setInterval(request, 1000 / REQUESTS_PER_SECOND);

const beganMs = performance.now() + BEFORE_SECONDS * 1000;
const secondsNow = () => (performance.now() - beganMs) / 1000;
const events: Event[] = [];
const samples: Sample[] = [];
let before = { ...counts, metrics: await proxy.metrics(), atMs: performance.now() };
while (secondsNow() < 0) await sample();
first.freeze();
events.push([secondsNow(), "SIGSTOP"]);
while (secondsNow() < HANG_SECONDS) await sample();
first.thaw();
events.push([secondsNow(), "SIGCONT"]);
while (secondsNow() < HANG_SECONDS + AFTER_SECONDS) await sample();
clearInterval(requests);
client.close();

const title = "One of three API servers hangs: what the proxy reports";
await Deno.writeTextFile(inRoot("docs/operating.svg"), drawOperating(title, samples, events));
for (const { seconds, up, tunnels } of samples) {
  console.log(`| ${seconds.toFixed(1)} | ${up.join(", ")} | ${tunnels.join(", ")} |`);
}
console.log(`requests refused: ${counts.refused}`);

/** One request on a connection of its own. */
async function request(): Promise<void> {
  try {
    const response = await fetch(`${SERVER}/readyz`, {
      client,
      headers: { authorization, connection: "close" },
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    await response.body?.cancel();
    if (response.ok) counts.answered++;
  } catch {
    // No answer in time, or refused: the first shows as a gap, the second in the proxy's metrics.
  }
}

async function sample(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const metrics = await proxy.metrics();
  const tunnels = await tunnelsNow();
  const atMs = performance.now(), passed = (atMs - before.atMs) / 1000;
  counts.refused = sum(metrics, "refusals_total");
  samples.push({
    seconds: secondsNow(),
    up: upOf(metrics),
    tunnels,
    probeSeconds: addresses.map((address) => meanProbe(address, metrics)),
    answered: (counts.answered - before.answered) / passed,
    refused: (counts.refused - before.refused) / passed,
  });
  before = { ...counts, metrics, atMs };
}

async function tunnelsNow(): Promise<number[]> {
  const list = await proxy.tunnels();
  const on = (address: string) => list.filter(({ upstream }) => upstream === address).length;
  return addresses.map(on);
}

function upOf(metrics: ReadonlyMap<string, number>): number[] {
  return addresses.map((address) => metrics.get(`${PREFIX}upstream_up{upstream="${address}"}`)!);
}

/** The mean of the probes that have ended since the sample before, if any has. */
function meanProbe(address: string, metrics: ReadonlyMap<string, number>): number | undefined {
  const grown = (what: string) => {
    const name = `${PREFIX}upstream_probe_duration_seconds_${what}{upstream="${address}"}`;
    return (metrics.get(name) ?? 0) - (before.metrics.get(name) ?? 0);
  };
  return grown("count") === 0 ? undefined : grown("sum") / grown("count");
}

function sum(metrics: ReadonlyMap<string, number>, name: string): number {
  let total = 0;
  for (const [sample, value] of metrics) if (sample.startsWith(PREFIX + name)) total += value;
  return total;
}
