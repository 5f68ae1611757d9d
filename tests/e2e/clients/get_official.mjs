// Gets the namespace "default" with the official JavaScript client, which takes name and secret from the
// kubeconfig's proxy-url.
import process from "node:process";

// In a variable, because only Node finds the package: `deno check` follows what is written out.
const client = "@kubernetes/client-node";
const { CoreV1Api, KubeConfig } = await import(client);

const [kubeconfig] = process.argv.slice(2);
const config = new KubeConfig();
config.loadFromFile(kubeconfig);
const namespace = await config.makeApiClient(CoreV1Api).readNamespace({ name: "default" });
console.log(JSON.stringify(namespace));
