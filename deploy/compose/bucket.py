"""Makes a bucket in SeaweedFS where it is missing: `bucket.py http://filer:8888 NAME`."""

from __future__ import annotations

import http.client
import sys
import urllib.parse


def main(filer: str, bucket: str) -> int:
    """0: it is there, made now or before."""
    path = f"/buckets/{bucket}/"  # where the filer keeps them
    made = _ask(filer, "HEAD", path) == 200 or _ask(filer, "POST", path) < 300
    return 0 if made else 1


def _ask(filer: str, method: str, path: str) -> int:
    address = urllib.parse.urlsplit(filer)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
