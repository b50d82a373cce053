"""Several machines that share a database, a bucket and two keys, and no directory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pandas as pd
import psutil
import pytest
import sqlalchemy as sa
from grpc_health.v1 import health_pb2, health_pb2_grpc

import kohort
from examples.local_server import ROOT
from kohort.conditions import Condition
from kohort.problem import Problem
from server.blobs import BlobPlace, BlobStore, open_blobs
from server.lineage import load_key, settle_key
from server.settings import from_flags
from server.signing import ensure_signing_key
from server.store import Store
from server.worker import Worker, worker_config
from tests.core.objectstore import SeaweedFS
from tests.core.support import until
from tests.e2e.harness import SLOW, Server
from tests.operate import gated_trainer

TRAINERS = f"{SLOW},{gated_trainer.NAMED}"
TABLE = pd.DataFrame({"age": [50 + n % 30 for n in range(200)], "sex": ["f", "m"] * 100})


class Machines:
    """Servers and workers, each with a data directory of its own."""

    def __init__(self, root: Path, place: BlobPlace) -> None:
        self.root, self.place = root, place
        self.database = f"sqlite:///{root}/database/kohort.db"
        (root / "database").mkdir()
        self.keys = root / "keys"
        self._ends = ExitStack()

    def flags(self, **changes: str) -> list[str]:
        given = {
            "--database-url": self.database,
            "--blob-url": self.place.url,
            "--blob-endpoint": self.place.endpoint,
            "--blob-region": self.place.region,
            "--blob-credentials-file": self.place.credentials_file,
            "--patient-key-file": str(self.keys / "patients"),
            "--signing-key-file": str(self.keys / "signing.pem"),
            "--lease-seconds": "8",
            "--heartbeat-seconds": "0.5",
            "--checkpoint-seconds": "0.3",
            "--poll-seconds": "0.2",
        }
        given |= {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
        return [part for pair in given.items() for part in pair]

    def server(self, name: str, **changes: str) -> Server:
        folder = self.root / name
        folder.mkdir()
        server = Server(folder, *self.flags(**changes), "--devices", "", env={"KOHORT_TRAINERS": TRAINERS})
        self._ends.callback(server.stop)
        return server.start()

    def worker(self, name: str, **changes: str) -> Machine:
        worker = Machine(self.root / name, self.flags(**changes))
        self._ends.callback(worker.end)
        return worker

    def blobs(self) -> BlobStore:
        return open_blobs(self.place, self.root)

    def close(self) -> None:
        self._ends.close()


class Machine:
    """`python -m server worker` on a machine of its own."""

    def __init__(self, folder: Path, flags: list[str]) -> None:
        folder.mkdir()
        self.folder, self._log = folder, folder / "log"
        packages = os.pathsep.join(map(str, (ROOT, ROOT / "clients" / "python")))
        command = [sys.executable, "-m", "server", "worker", "--slot", "cpu:0"]
        with self._log.open("ab") as log:
            self.popen = subprocess.Popen(
                [*command, "--data-dir", str(folder / "var"), *flags],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": packages, "KOHORT_TRAINERS": TRAINERS},
                stdout=log,
                stderr=log,
            )

    def said(self) -> str:
        return self._log.read_text()

    def lose_machine(self) -> None:
        """Kills the worker and what it had started, and takes its disk."""
        below = psutil.Process(self.popen.pid).children(recursive=True)
        self.end()
        psutil.wait_procs(below, 30)
        shutil.rmtree(self.folder / "var")

    def end(self) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait(30)


@pytest.fixture
def machines(tmp_path: Path, bucket: BlobPlace) -> Iterator[Machines]:
    made = Machines(tmp_path, bucket)
    yield made
    made.close()


@pytest.mark.slow
def test_a_job_goes_on_from_its_checkpoint_when_its_machine_is_lost(machines: Machines) -> None:
    server = machines.server("front")
    first = machines.worker("first")
    gate = machines.root / "gate"
    with server.client() as client:
        job = client.train(client.upload(TABLE), trainer="gated", gate=str(gate))
        blobs = machines.blobs()
        kept = f"checkpoints/{job.name.removeprefix('jobs/')}/1"

        def sent() -> bool:
            lists = [blob.key for blob in blobs.list(kept) if blob.key.endswith(".json")]
            return any(key >= f"{kept}/00000003.json" for key in lists)

        until(sent, "some checkpoints", say=first.said)
        first.lose_machine()
        gate.touch()
        second = machines.worker("second")
        model = job.result()
        assert "checkpoint fetched" in second.said()
        steps = [(e.attempt, e.detail.step) for e in job.events() if isinstance(e.detail, kohort.Progress)]
        resumed = min(step for attempt, step in steps if attempt == 2)
        assert resumed > 1, "it did not begin anew"
        assert {attempt for attempt, _ in steps} == {1, 2}
        assert len(client.sample(model, 50)) == 50
        assert len(list(client.models())) == 1
    until(lambda: not list(blobs.list("checkpoints")), "the checkpoints to go", say=second.said)
    found = [blob.key.partition("/")[0] for blob in blobs.list()]
    assert found.count("models") == 1
    assert "spool" not in found
    # Nothing of the deployment is in a directory but a machine's own scratch.
    assert not list((server.data / "var" / "blobs").rglob("*.*"))


@pytest.mark.slow
def test_everything_that_has_bytes_comes_from_the_bucket(machines: Machines, tmp_path: Path) -> None:
    server = machines.server("front", evaluation_profile="standard")
    worker, blobs = machines.worker("work"), machines.blobs()
    with server.client() as client:
        # Which rows are held out is each deployment's own: of so few, some reports would lock the model.
        client.update_release_policy(kohort.ReleasePolicy(rules=()))
        dataset = client.upload(TABLE)
        assert client.infer_schema(dataset).schema.tables[0].columns[0].name == "age"
        model = client.train(dataset, trainer="independent", seed=1).result()
        release = model.info.release
        assert release is not None, worker.said()
        rows = client.sample(model, 40, seed=1, conditions=[Condition("sex", one_of=("f",))])
        assert set(rows["sex"]) == {"f"}
        pages = client.download_report(release.report, tmp_path / "report.html")
        assert Path(pages).read_bytes().startswith(b"<!")
        copy = client.import_model(model.download(tmp_path / "m.kohort"))
        pd.testing.assert_frame_equal(client.sample(copy, 30, seed=2), client.sample(model, 30, seed=2))
        roots = {blob.key.partition("/")[0] for blob in blobs.list()}
        assert roots >= {"datasets", "models", "reports"}
        for made in (copy, model):
            made.delete()
        client.delete_dataset(dataset)
    left = [blob.key for blob in blobs.list() if not blob.key.startswith("lineage/")]
    assert left == []


@pytest.mark.slow
def test_health_tells_when_the_bucket_is_gone_and_back(tmp_path: Path) -> None:
    weed = SeaweedFS(tmp_path / "weed")
    machines = Machines(tmp_path, weed.start().place(tmp_path / "credentials", "k"))
    try:
        server = machines.server("front")
        worker = machines.worker("work")
        services = ("kohort.v1.SamplingService", "kohort.v1.DatasetService", "kohort.v1.TrainingService")
        with server.client() as client, grpc.insecure_channel(server.address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)

            def states() -> set[int]:
                return {stub.Check(health_pb2.HealthCheckRequest(service=s)).status for s in services}

            health = health_pb2.HealthCheckResponse
            serving, not_serving = health.SERVING, health.NOT_SERVING
            until(lambda: states() == {serving}, "health", say=worker.said)
            dataset = client.upload(TABLE)
            model = client.train(dataset, trainer="slow", steps=1).result()
            weed.stop()
            until(lambda: states() == {not_serving}, "health to tell")
            # What is asked now waits for the bucket, and is lost with nobody.
            job = client.train(dataset, trainer="slow", steps=2)
            until(lambda: "job waits" in worker.said(), "the job to wait", say=worker.said)
            weed.start()
            until(lambda: states() == {serving}, "health to be back")
            assert len(client.sample(job.result(), 20)) == 20
            assert len(client.sample(model, 20)) == 20
    finally:
        machines.close()
        weed.stop()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"patient_key_file": "{root}/absent"}, "patient_key_file is missing: copy it"),
        ({"patient_key_file": "{root}/other"}, "patient_key_file holds another key"),
        ({"signing_key_file": "{root}/absent"}, "signing_key_file: No such file"),
        ({"blob_credentials_file": "{root}/absent"}, "blob_credentials_file: No such file"),
        ({"blob_url": "s3://absent"}, "the bucket does not exist"),
        ({"blob_url": ""}, "a machine without it needs blob_url"),
    ],
)
def test_a_worker_that_is_set_up_wrongly_does_not_start(
    machines: Machines, wrong: dict[str, str], message: str
) -> None:
    store = Store(machines.database)
    store.migrate()
    settle_key(machines.keys / "patients", store.deployment, make=True)
    ensure_signing_key(machines.keys / "signing.pem")
    load_key(machines.root / "other")
    changes = {name: value.format(root=machines.root) for name, value in wrong.items()}
    flags = [*machines.flags(**changes), "--data-dir", str(machines.root / "var")]
    with pytest.raises((ValueError, Problem), match=message):
        Worker(worker_config(from_flags(flags), "cpu:0")).run()
    assert not (machines.root / "absent").exists()
    assert store.workers.live(3600.0) == []
    store.close()


@pytest.mark.slow
def test_why_a_worker_does_not_start_is_said(machines: Machines) -> None:
    store = Store(machines.database)
    store.migrate()
    store.close()
    worker = machines.worker("work")
    assert worker.popen.wait(60) == 1, worker.said()
    assert worker.said().startswith("patient_key_file is missing: copy it")
    assert "Traceback" not in worker.said()


@pytest.mark.slow
def test_a_second_front_end_with_another_key_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    url = f"sqlite:///{tmp_path}/kohort.db"
    flags = ("--database-url", url, "--devices", "")
    first = Server(tmp_path / "one", *flags).start()
    try:
        with pytest.raises(RuntimeError, match="patient_key_file is missing: copy it from another machine"):
            Server(tmp_path / "two", *flags).start()
        assert not (tmp_path / "two" / "var" / "keys" / "patients").exists()
        shared = ("--patient-key-file", str(tmp_path / "one" / "var" / "keys" / "patients"))
        second = Server(tmp_path / "two", *flags, *shared).start()
        assert second.stop() == 0, second.log()
    finally:
        assert first.stop() == 0, first.log()


def test_of_two_that_make_a_key_at_once_one_holds(store: Store, tmp_path: Path) -> None:
    class Late:
        """Asked before the other's was noted."""

        def patient_key(self) -> None:
            return None

        def settle_patient_key(self, fingerprint: str) -> str:
            return store.deployment.settle_patient_key(fingerprint)

    settle_key(tmp_path / "one", store.deployment, make=True)
    with pytest.raises(ValueError, match="another key"):
        settle_key(tmp_path / "two", Late(), make=True)  # type: ignore[arg-type]
    assert not (tmp_path / "two").exists()
    settle_key(tmp_path / "one", store.deployment, make=False)
    with pytest.raises(ValueError, match="is missing"):
        settle_key(tmp_path / "three", store.deployment, make=True)


def test_a_key_that_was_there_before_the_fingerprint_stays(store: Store, tmp_path: Path) -> None:
    """A deployment of an older version: its key is noted with the first start of this one."""
    key = load_key(tmp_path / "key")
    assert store.deployment.patient_key() is None
    settle_key(tmp_path / "key", store.deployment, make=True)
    assert load_key(tmp_path / "key") == key
    noted = store.deployment.patient_key()
    assert noted is not None and key.hex() not in noted


def test_a_server_that_cannot_have_its_bucket_says_why(tmp_path: Path) -> None:
    server = Server(
        tmp_path, "--blob-url", "s3://bucket", "--blob-credentials-file", str(tmp_path / "absent")
    )
    with pytest.raises(RuntimeError, match="blob_credentials_file: No such file"):
        server.start()


def test_without_the_extra_a_bucket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "server.objects", None)
    with pytest.raises(ValueError, match="extra `s3`"):
        open_blobs(BlobPlace("s3://bucket"), tmp_path)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--blob-url", "https://bucket/x"], "s3://bucket/prefix"),
        (["--blob-url", "s3://"], "s3://bucket/prefix"),
        (["--blob-url", "s3://key:secret@bucket"], "s3://bucket/prefix"),
        (["--blob-url", "s3://bucket/../x"], "plain segments"),
        (["--blob-endpoint", "weed:8333"], "https://host:port"),
        (["--blob-endpoint", "https://key:secret@weed"], "blob_credentials_file"),
    ],
)
def test_what_is_no_bucket_is_refused(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from server.__main__ import main

    assert main(["serve", *flags]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "secret" not in said


def test_the_fingerprint_is_in_the_tables(store: Store) -> None:
    assert store.deployment.settle_patient_key("a") == "a"
    assert store.deployment.settle_patient_key("b") == "a"
    with store._database.read() as connection:
        assert connection.execute(sa.text("SELECT name, value FROM deployment")).all() == [
            ("patient_key", "a")
        ]
    with pytest.raises(Problem):
        Store("sqlite:////proc/absent/kohort.db").deployment.patient_key()
