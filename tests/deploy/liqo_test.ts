/** Liqo's own chart, with our image in it, and its values, in our chart. */
import { assertEquals } from "@std/assert";
import { output } from "../harness/child_process.ts";
import { test } from "../harness/test.ts";
import { HELM, only, parseYaml, render, type Resource } from "./helm.ts";
import { LIQO_ARGS, liqoSources } from "./liqo.ts";
import { find, missing } from "./tools.ts";

const skip = missing({ helm: HELM !== undefined, go: find("go") !== undefined });

test(
  "Liqo's chart starts the image with the command and arguments that it is tested with",
  async () => {
    const image = { name: "registry.example.org/api-server-proxy", version: "0.1.0" };
    const yaml = await output([
      ...[HELM!, "template", "liqo", await liqoSources(), "--namespace=liqo", "--set=tag=v1.1.2"],
      ...["--show-only=templates/liqo-proxy-deployment.yaml", "--values=-"],
    ], { stdin: JSON.stringify({ proxy: { image } }) });
    const { spec } = only(await parseYaml(yaml), "Deployment").spec.template;
    const [{ command, args, image: name, securityContext }] = spec.containers;
    assertEquals(command, ["/usr/bin/proxy"]);
    assertEquals(args, LIQO_ARGS);
    assertEquals(name, "registry.example.org/api-server-proxy:0.1.0");
    assertEquals(securityContext, { allowPrivilegeEscalation: false });
    assertEquals(spec.securityContext.runAsUser, 1000);
  },
  { skip },
);

test("Liqo's Service and ours have the same label, port and name of the port", async () => {
  const yaml = await output([
    ...[HELM!, "template", "liqo", await liqoSources(), "--namespace=liqo", "--set=tag=v1.1.2"],
    "--show-only=templates/liqo-proxy-service.yaml",
  ]);
  const seen = ({ metadata, spec }: Resource) => ({
    name: metadata.labels["app.kubernetes.io/name"],
    type: spec.type,
    ports: spec.ports.map(({ name, port, protocol }: Resource) => ({ name, port, protocol })),
  });
  const [ours] = (await render()).filter(({ kind }) => kind === "Service");
  assertEquals(seen(ours), seen(only(await parseYaml(yaml), "Service")));
}, { skip });

test(
  "Liqo's Service selects our pods when we have none, and its Deployment is not ours",
  async () => {
    const template = async (file: string) =>
      await parseYaml(
        await output([
          ...[
            HELM!,
            "template",
            "liqo",
            await liqoSources(),
            "--namespace=liqo",
            "--set=tag=v1.1.2",
          ],
          `--show-only=templates/${file}.yaml`,
        ]),
      );
    const { spec } = only(await template("liqo-proxy-service"), "Service");
    const ours = only(await render({ service: { create: false } }), "Deployment").spec;
    const { labels } = ours.template.metadata;
    for (const [key, value] of Object.entries(spec.selector)) assertEquals(labels[key], value, key);
    const [container] = ours.template.spec.containers;
    assertEquals(container.ports[0].containerPort, spec.ports[0].targetPort);
    const theirs =
      only(await template("liqo-proxy-deployment"), "Deployment").spec.template.metadata;
    const selected = Object.entries(ours.selector.matchLabels)
      .filter(([key, value]) => theirs.labels[key] === value);
    assertEquals(selected, []);
  },
  { skip },
);

test("chart takes the proxy section of that release's values as it is", async () => {
  const file = `${await liqoSources()}/values.yaml`;
  const [{ proxy }] = await parseYaml(await Deno.readTextFile(file));
  const resources = await render(proxy);
  assertEquals(only(resources, "Deployment").spec.replicas, proxy.replicas);
}, { skip });
