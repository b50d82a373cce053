"""The steps of the image `serve` in a fresh root, and the server started there as in a container."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import kohort
from examples.local_server import ROOT, LocalServer
from tests.deploy import freshroot
from tests.deploy.dockerfile import Builder, Image, enter, started

HEART = ROOT / "tests" / "data" / "heart.csv"
UID = "10001"
# The order of a file's tests: building is paid once.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    freshroot.possible()
    work = tmp_path_factory.mktemp("image")
    # In memory: a hundred thousand small files come and go.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755,size=6g", "kohort-image", work], check=True)
    try:
        yield build(work)
    finally:
        subprocess.run(["umount", "--lazy", work], check=True)


def build(work: Path) -> Image:
    base = work / "base"
    freshroot.make(base)
    # As an engine shows a step its own network; where packages come from is this machine's affair.
    shown = tuple(
        path
        for path in map(Path, ("/etc/hosts", "/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt"))
        if path.exists()
    )
    environment = {
        name: value
        for name, value in os.environ.items()
        if (name.startswith("PIP_") and name != "PIP_FIND_LINKS") or name.lower().endswith("_proxy")
    }
    pip_conf = work / "pip.conf"
    pip_conf.write_text(Path("/etc/pip.conf").read_text() if Path("/etc/pip.conf").exists() else "")
    builder = Builder(
        ROOT / "deploy" / "Dockerfile", base, ROOT, work, {"pip_conf": pip_conf}, (environment, shown)
    )
    return builder.build("serve")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """What another server trained, and rows of it."""
    folder = tmp_path_factory.mktemp("elsewhere")
    server = LocalServer(folder, environment={"KOHORT_EVALUATION_PROFILE": "none"}).start()
    try:
        with kohort.Client(server.address) as client:
            model = client.train(client.upload(HEART, table="heart"), trainer="independent").result()
            path = folder / "heart.kohort"
            model.download(path)
            return path, model.sample(200, seed=7)
    finally:
        server.stop()


class Container:
    """A container of an image: read-only root, no capabilities, process 1 of its own namespace."""

    def __init__(self, image: Image, data: Path, **environment: str) -> None:
        self._image = image
        self._data = data
        self._environment = {**image.environment, **environment}
        data.mkdir()
        os.chown(data, int(UID), int(UID))
        self._log = (data.parent / f"{data.name}.log").open("w+b")
        self.process = subprocess.Popen(
            self._enter(
                [*started(image), "--port=0", "--metrics-port=0", "--address-file=/var/lib/kohort/address"]
            ),
            stdout=self._log,
            stderr=self._log,
        )

    def _enter(self, command: list[str]) -> list[str]:
        data = ((self._data, "/var/lib/kohort"),)
        return enter(
            self._image, [], command, self._environment, user=f"{UID}:{UID}", written=data, read_only=True
        )

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """As `docker exec`, but for the process namespace."""
        return subprocess.run(self._enter(list(command)), capture_output=True, text=True, timeout=60)

    def address(self) -> str:
        told, end = self._data / "address", time.monotonic() + 90
        while not told.exists():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < end, self.log()
            time.sleep(0.05)
        return told.read_text().strip()

    def log(self) -> str:
        return Path(self._log.name).read_text()

    def inner(self) -> int:
        """The number, seen from here, of its process 1."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        (child,) = children
        return int(child)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()  # unshare --kill-child takes the namespace with it
            self.process.wait(30)
        self._log.close()


def test_serves_from_a_read_only_root_as_nobody(
    image: Image, bundle: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    assert image.user == f"{UID}:{UID}"
    container = Container(image, tmp_path / "data", KOHORT_IMPORT_UNVERIFIED="true")
    try:
        address = container.address()
        pid = container.inner()
        status = Path(f"/proc/{pid}/status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert fields["Uid"].split() == [UID] * 4
        assert (int(fields["CapEff"], 16), int(fields["CapPrm"], 16), fields["NoNewPrivs"]) == (0, 0, "1")
        assert fields["NSpid"].split()[-1] == "1", "no shell stands between the engine's signals and it"
        healthy = container.run(*["python", "-m", "server", "health", "--address", address])
        assert (healthy.returncode, healthy.stdout.strip()) == (0, "SERVING"), healthy.stderr
        service = ["python", "-m", "server", "health", "--address", address, "--service"]
        assert container.run(*service, "kohort.v1.SamplingService").returncode == 0
        assert container.run(*service, "kohort.v1.TrainingService").stdout.strip() == "NOT_SERVING"
        with kohort.Client(address) as client:
            path, rows = bundle
            model = client.import_model(path)
            pd.testing.assert_frame_equal(model.sample(200, seed=7), rows)
            with pytest.raises(kohort.InvalidRequest):
                client.train(client.upload(HEART, table="heart"), trainer="argn")
        os.kill(pid, 15)
        assert container.process.wait(60) == 0, container.log()
        assert "Traceback" not in container.log()
        gone = container.run("python", "-m", "server", "health", "--address", address)
        assert gone.returncode == 1
    finally:
        container.end()


def test_the_root_holds_no_compiler_and_takes_no_writes(image: Image, tmp_path: Path) -> None:
    for tool in ("cc", "gcc", "g++", "make", "pip", "pip3"):
        assert (
            shutil.which(
                tool,
                path=":".join(str(image.root / d.lstrip("/")) for d in image.environment["PATH"].split(":")),
            )
            is None
        )
    assert not list((image.root / "opt").glob("pip")), "what builds stays in the builder"
    assert not list((image.root / "opt/kohort/lib").glob("python*/site-packages/torch"))
    owned = [p for p in (image.root / "opt/kohort").rglob("*") if p.lstat().st_uid != 0]
    assert not owned, "the user may change nothing of the application"
    writes = enter(
        image,
        [],
        [
            "/bin/sh",
            "-c",
            "touch /tmp/mine && ! touch /opt/kohort/x && ! touch /var/lib/kohort/x && ! touch /x",
        ],
        image.environment,
        user=f"{UID}:{UID}",
        read_only=True,
    )
    done = subprocess.run(writes, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Read-only file system") == 3


def test_modules_were_compiled_and_are_not_checked_again(image: Image) -> None:
    compiled = list(
        (image.root / "opt/kohort/lib").glob("python*/site-packages/server/__pycache__/app.*.pyc")
    )
    assert len(compiled) == 1
    flags = int.from_bytes(compiled[0].read_bytes()[4:8], "little")
    assert flags == 0b01, "by hash, unchecked"
