"""Runs a command in a pod with the official Python client, at an API server with an IPv6 address.

The request target that it sends to the proxy has no brackets. What answers is the proxy's upstream,
whatever its address: the certificate has another name, so it is not checked.
"""

import json
import sys

from kubernetes import client, config
from kubernetes.stream import stream

kubeconfig, proxy, pod = sys.argv[1:]
with open(kubeconfig) as file:
    content = json.load(file)
cluster = content["clusters"][0]["cluster"]
cluster["server"] = "https://[fd00::1]:6443"
cluster["insecure-skip-tls-verify"] = True
settings = client.Configuration()
config.load_kube_config_from_dict(content, client_configuration=settings)
settings.proxy = proxy
api = client.CoreV1Api(client.ApiClient(settings))

print(
    stream(
        api.connect_get_namespaced_pod_exec,
        pod,
        "default",
        command=["echo", "hello"],
        stderr=True,
        stdin=False,
        stdout=True,
        tty=False,
    ),
    end="",
)
