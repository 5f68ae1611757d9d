"""Lists and watches ConfigMaps with the official Python client.

It does not know a kubeconfig's proxy-url, so its proxy is set as its users do.
Prints "listed N", then the name of each that is added.
"""

import sys

from kubernetes import client, config, watch

kubeconfig, proxy = sys.argv[1:]
config.load_kube_config(kubeconfig)
settings = client.Configuration.get_default_copy()
settings.proxy = proxy
api = client.CoreV1Api(client.ApiClient(settings))

listed = api.list_namespaced_config_map("default")
print(f"listed {len(listed.items)}", flush=True)

since = listed.metadata.resource_version
for event in watch.Watch().stream(
    api.list_namespaced_config_map, "default", resource_version=since
):
    print(event["object"].metadata.name, flush=True)
