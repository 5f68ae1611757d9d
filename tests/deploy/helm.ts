/** Renders the chart and reads what it has rendered. */
import { type Outcome, output, run } from "../harness/child_process.ts";
import { inRoot } from "../sources.ts";
import { find } from "./tools.ts";

/** Built by `go install helm.sh/helm/v3/cmd/helm@v3.22.0`. */
export const HELM = find("helm");
export const CHART = inRoot("deploy/helm/api-server-proxy");
/** A Helm that was built so takes Kubernetes to be 1.20 when nobody tells it. */
const KUBE_VERSION = "1.37.0";

// deno-lint-ignore no-explicit-any -- what Kubernetes takes, by any path
export type Resource = any;
/** As in a values file. */
export type Values = Record<string, unknown>;

/** `helm template`, as `deploy/api-server-proxy.yaml` was made, with these values. */
export async function template(
  values: Values = {},
  { namespace = "liqo", flags = ["--skip-tests"] } = {},
): Promise<Outcome> {
  const command = [HELM!, "template", "api-server-proxy", CHART, `--namespace=${namespace}`];
  return await run([...command, `--kube-version=${KUBE_VERSION}`, "--values=-", ...flags], {
    stdin: JSON.stringify(values),
  });
}

const rendered = new Map<string, Promise<Resource[]>>();

/** The resources that come of these values; the same ones for the same values: not to be changed. */
export async function render(values: Values = {}): Promise<Resource[]> {
  const key = JSON.stringify(values);
  const resources = rendered.get(key) ?? renderNow(values);
  rendered.set(key, resources);
  return await resources;
}

/** What `helm test` creates for these values. */
export async function renderTests(values: Values = {}): Promise<Resource[]> {
  const flags = ["--show-only=templates/tests/diagnose.yaml"];
  const { code, stdout, stderr } = await template(values, { flags });
  if (code !== 0) throw new Error(stderr);
  return await parseYaml(stdout);
}

async function renderNow(values: Values): Promise<Resource[]> {
  const { code, stdout, stderr } = await template(values);
  if (code !== 0) throw new Error(stderr);
  return await parseYaml(stdout);
}

/** Reads YAML by a chart that has it as a file and prints it as JSON. */
export async function parseYaml(yaml: string): Promise<Resource[]> {
  const dir = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${dir}/Chart.yaml`, "{apiVersion: v2, name: json, version: 0.0.0}");
    await Deno.writeTextFile(`${dir}/in.yaml`, yaml);
    await Deno.mkdir(`${dir}/templates`);
    await Deno.writeTextFile(
      `${dir}/templates/json.yaml`,
      `{{ range splitList "\\n---\\n" (printf "\\n%s" (.Files.Get "in.yaml")) }}` +
        `{{ with fromYaml (printf "%s\\n" .) }}\n---\n{{ toJson . }}{{ end }}{{ end }}`,
    );
    const json = await output([HELM!, "template", dir]);
    return json.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** The one resource of that kind (and name). */
export function only(resources: Resource[], kind: string, name?: string): Resource {
  const found = resources.filter((resource) =>
    resource.kind === kind && (name === undefined || resource.metadata.name === name)
  );
  if (found.length !== 1) throw new Error(`${found.length} of kind ${kind}, wanted one`);
  return found[0];
}
