"""Gets the namespace "default" with the official Python client.

It takes no name and secret from the proxy's URL: they go into its proxy_headers.
"""

import sys
from urllib.parse import urlsplit

import urllib3
from kubernetes import client, config

kubeconfig, proxy = sys.argv[1:]
config.load_kube_config(kubeconfig)
settings = client.Configuration.get_default_copy()
url = urlsplit(proxy)
settings.proxy = f"http://{url.hostname}:{url.port}"
if url.username:
    secret = f"{url.username}:{url.password}"
    settings.proxy_headers = urllib3.make_headers(proxy_basic_auth=secret)
# Three more attempts would only take longer.
settings.retries = False
api = client.CoreV1Api(client.ApiClient(settings))

print(api.read_namespace("default", _preload_content=False).data.decode())
