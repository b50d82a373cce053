"""Run on a front end when all is over: sweeps what no record names, then prints the keys of all blobs.

The janitor spares young blobs, which may be of an upload under way; now none is.
"""

from __future__ import annotations

import json
import sys

from server import logs
from server.blobs import open_blobs
from server.janitor import Janitor
from server.layout import DataDir
from server.settings import from_flags
from server.store import Store
from server.threads import Threads


def main() -> None:
    settings = from_flags([])
    logs.configure("warning", "json")  # not to standard output
    folders = DataDir(settings.data_dir.absolute(), settings.patient_key_file)
    blobs = open_blobs(settings.blob_place, folders.blobs)
    before = [blob.key for blob in blobs.list()]
    store, threads = Store(settings.database), Threads("sweep", 1)
    Janitor(store, blobs, folders, threads, orphan_s=-60.0).sweep()
    after = [blob.key for blob in blobs.list()]
    store.close()
    threads.close()
    json.dump({"before": before, "after": after}, sys.stdout)


if __name__ == "__main__":
    main()
