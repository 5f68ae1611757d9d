"""Gets a URL of the API server with requests, which takes name and secret from the proxy's URL."""

import sys

import requests

proxy, ca, token, url = sys.argv[1:]
print(
    requests.get(
        url,
        headers={"Authorization": f"Bearer {token}"},
        proxies={"https": proxy},
        verify=ca,
    ).text
)
