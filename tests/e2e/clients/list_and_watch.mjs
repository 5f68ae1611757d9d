// Lists and watches ConfigMaps with the official JavaScript client, which takes its proxy from the
// kubeconfig's proxy-url. Prints "listed N", then the name of each that is added.
import process from "node:process";

// In a variable, because only Node finds the package: `deno check` follows what is written out.
const client = "@kubernetes/client-node";
const { CoreV1Api, KubeConfig, Watch } = await import(client);

const [kubeconfig] = process.argv.slice(2);
const config = new KubeConfig();
config.loadFromFile(kubeconfig);

const listed = await config.makeApiClient(CoreV1Api).listNamespacedConfigMap({
  namespace: "default",
});
console.log(`listed ${listed.items.length}`);

const { resourceVersion } = listed.metadata;
await new Watch(config).watch(
  "/api/v1/namespaces/default/configmaps",
  { resourceVersion },
  (_kind, object) => console.log(object.metadata.name),
  (error) => {
    throw error;
  },
);
