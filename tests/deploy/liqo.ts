/** How Liqo's chart starts its proxy, and what it must answer then. */
import { output } from "../harness/child_process.ts";
import { inRoot } from "../sources.ts";
import { moduleSources } from "./tools.ts";

/** The release of Liqo that the manifests are held against. */
const MODULE = "github.com/liqotech/liqo@v1.1.2";

/** Where that release's chart is. */
export async function liqoSources(): Promise<string> {
  return `${await moduleSources(MODULE)}/deployments/liqo`;
}

/** Of deployments/liqo/templates/liqo-proxy-deployment.yaml, with the values of its chart; liqo_test.ts holds it. */
export const LIQO_ARGS = ["--port=8118", "--force-host=kubernetes.default.svc:443"];

/**
 * Uses tunnels from inside the network of that process, where the proxy listens on 8118 and
 * kubernetes.default.svc is 127.0.0.1.
 */
export async function tunnelsInside(pid: string | number): Promise<void> {
  await output([
    ...["nsenter", `--target=${pid}`, "--net"],
    ...[Deno.execPath(), "run", "--no-prompt", "--allow-net", inRoot("tests/deploy/tunnels.ts")],
    ...["127.0.0.1:8118", "127.0.0.1:443", "10"],
  ]);
}
