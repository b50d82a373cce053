"""The hospital's installation: a database, an object store, two front ends, three workers, two clients.

Each is on a machine of its own (`tests.drill.network`) and reaches the others by its address alone.
Front ends and workers share the database, the bucket and the key files, and nothing else.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from cryptography import x509

from examples.local_postgres import binary
from examples.local_server import ROOT
from server.identities import create_token
from server.signing import ensure_signing_key
from tests.authority import Authority
from tests.core.objectstore import SeaweedFS
from tests.core.support import unavailable, until
from tests.drill.network import Machine, Process, Switch
from tests.drill.trainer import RELEASED

NAME = "kohort.hospital"
"""What both front ends are called."""
PORT = 50051
DATA = ROOT / "tests" / "data" / "heart.csv"
_QUICK = {
    "KOHORT_TRAINERS": "held=tests.drill.trainer:HeldTrainer",
    "KOHORT_LEASE_SECONDS": "5",
    "KOHORT_HEARTBEAT_SECONDS": "1",
    "KOHORT_POLL_SECONDS": "0.5",
    "KOHORT_CHECKPOINT_SECONDS": "1",
    "KOHORT_EVALUATION_PROFILE": "none",
    "KOHORT_METRICS_PORT": "-1",
    # Two held jobs leave the third worker to whatever else waits.
    "KOHORT_MAX_RUNNING_PER_PRINCIPAL": "2",
    # A drill loses far more workers than a job may in life.
    "KOHORT_MAX_ATTEMPTS": "50",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}


class Cluster:
    """All machines and what runs on them, from `with` to its end; then nothing of it is left."""

    def __init__(self) -> None:
        self._closing = ExitStack()
        self._tending = threading.Lock()
        self.switch = Switch()
        self.database = Machine("database", 2)
        self.objects = Machine("objects", 3)
        self.fronts = [Machine("front1", 11), Machine("front2", 12)]
        self.workers = [Machine(f"worker{n}", 20 + n) for n in (1, 2, 3)]
        self.clients = [Machine("ada", 31), Machine("bob", 32)]
        self.running: dict[str, Process] = {}
        """What runs now, by the machine's name."""
        self.statuses: list[tuple[str, int]] = []
        """How what was asked to end did."""
        self._begun: dict[str, int] = {}
        """Where in its log what runs now began, by the machine's name."""

    @property
    def machines(self) -> dict[str, Machine]:
        """Those on the switch, by name."""
        every = [self.database, self.objects, *self.fronts, *self.workers, *self.clients]
        return {machine.name: machine for machine in every}

    def __enter__(self) -> Self:
        with self._closing as closing:
            # Short, for the sake of Unix sockets.
            self.folder = Path(tempfile.mkdtemp(prefix="kd-", dir="/tmp"))
            closing.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.folder.chmod(0o711)
            for name in ("log", "notes", "keys", "released"):
                (self.folder / name).mkdir(mode=0o700)
            closing.enter_context(self.switch)
            for machine in self.machines.values():
                closing.enter_context(machine)
                self.switch.join(machine)
            self._write_keys()
            self._start_database()
            self._start_objects(closing)
            for front in self.fronts:
                self.start(front)
            for front in self.fronts:
                self.await_front(front)
            for worker in self.workers:
                self.start(worker)
            for client, order in zip(self.clients, (self.fronts, self.fronts[::-1]), strict=True):
                client.knows({NAME: [front.address for front in order]}, self.folder)
                self.start(client)
            self._closing = closing.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.__exit__(kind, error, trace)

    # Programs

    def start(self, machine: Machine) -> Process:
        """Starts what a machine is there for; its log goes on where it was."""
        self._begun[machine.name] = len(self.said(machine))
        with self.log(machine).open("ab") as log:
            process = machine.start(
                [sys.executable, *self._command(machine)],
                log,
                self._environment(machine),
                ROOT,
                hears=machine in self.clients,
            )
        self.running[machine.name] = process
        return process

    def tend(self) -> None:
        """Starts every worker again that has ended, as whatever manages services there does."""
        for machine in self.workers:
            with self._tending:
                process = self.running.get(machine.name)
                if process is not None and not process.runs:
                    self.start(machine)

    def await_workers(self) -> None:
        """Returns once every worker works: one that still begins would not end well when it is asked to."""

        def work() -> bool:
            self.tend()
            told = (self.said(machine)[self._begun[machine.name] :] for machine in self.workers)
            return all('"worker started"' in said for said in told)

        until(work, "every worker to work", 120)

    def await_front(self, machine: Machine) -> None:
        """Returns once a front end that was started serves."""
        ready = self.folder / f"address-{machine.name}"
        until(ready.exists, f"{machine.name} to serve", 120, lambda: self.said(machine)[-3000:])

    def restart_database(self) -> None:
        """As after a crash: no client is told, no buffer written."""
        self._pg_ctl("restart", "-m", "immediate")

    def stop(self, machine: Machine) -> None:
        """Asks what runs there to end, and notes how it did."""
        process = self.running.pop(machine.name)
        status = process.finish() if machine in self.clients else process.end()
        self.statuses.append((machine.name, status))

    def ask(self, client: Machine, **command: Any) -> None:
        """Gives a client's program a command."""
        self.running[client.name].tell(json.dumps(command))

    def run(self, machine: Machine, *command: str) -> str:
        """Runs a Python program on a machine, with the settings of what is there; what it printed."""
        settings = [f"{k}={v}" for k, v in self._environment(machine).items()]
        return machine.do("env", "-C", str(ROOT), "-i", *settings, sys.executable, *command)

    def converse(self, client: Machine, front: Machine, notes: Path, commands: Sequence[Any]) -> None:
        """Has a client do something with one front end, by its own address."""
        with self.log(client).open("ab") as log:
            program = [sys.executable, *self._client(client, front.address, notes)]
            process = client.start(program, log, self._environment(client), ROOT, hears=True)
        for command in commands:
            process.tell(json.dumps(command))
        process.finish()

    # What was said

    def log(self, machine: Machine) -> Path:
        """The file of what its program says."""
        return self.folder / "log" / f"{machine.name}.log"

    def said(self, machine: Machine) -> str:
        """What its program has said so far."""
        path = self.log(machine)
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def notes(self, client: Machine) -> Path:
        """The file of what a client saw."""
        return self.folder / "notes" / f"{client.name}.jsonl"

    def release(self, key: int) -> None:
        """Lets a held job end."""
        (self.folder / "released" / str(key)).touch()

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the database answers, asked by its socket, which no cut reaches. Raises psycopg.Error."""
        with psycopg.connect(
            f"host={self.folder}/db user=kohort dbname=kohort connect_timeout=5", autocommit=True
        ) as connection:
            return connection.execute(sql, values).fetchall()

    # How it is made

    def _client(self, client: Machine, target: str, notes: Path) -> list[str]:
        keys = self.folder / "keys"
        who = ["--ca", str(keys / "ca.pem"), "--token", str(keys / f"{client.name}.token")]
        where = ["--target", f"{target}:{PORT}", "--notes", str(notes), "--data", str(DATA)]
        return ["-m", "tests.drill.client", *where, *who]

    def _command(self, machine: Machine) -> list[str]:
        if machine in self.workers:
            return ["-m", "server", "worker", "--slot", "cpu:0"]
        if machine in self.fronts:
            ready = self.folder / f"address-{machine.name}"
            ready.unlink(missing_ok=True)
            return ["-m", "server", "--devices", "", "--address-file", str(ready)]
        return self._client(machine, NAME, self.notes(machine))

    def _environment(self, machine: Machine) -> Mapping[str, str]:
        keys = self.folder / "keys"
        paths = os.pathsep.join(map(str, (ROOT, ROOT / "clients" / "python")))
        found = {k: v for k, v in os.environ.items() if not k.startswith(("KOHORT_", "AWS_"))}
        found |= {**_QUICK, "PYTHONPATH": paths, RELEASED: str(self.folder / "released")}
        if machine in self.clients:
            return found
        password = (keys / "password").read_text(encoding="ascii")
        found |= {
            "KOHORT_DATABASE_URL": f"postgresql://kohort:{password}@{self.database.address}/kohort",
            "KOHORT_DATA_DIR": str(self.folder / machine.name),
            "KOHORT_SIGNING_KEY_FILE": str(keys / "signing.pem"),
            "KOHORT_PATIENT_KEY_FILE": str(keys / "patients"),
            "KOHORT_BLOB_URL": f"s3://{SeaweedFS.bucket}/drill",
            "KOHORT_BLOB_ENDPOINT": self.store.endpoint,
            "KOHORT_BLOB_REGION": SeaweedFS.region,
            "KOHORT_BLOB_CREDENTIALS_FILE": str(keys / "objects"),
        }
        if machine in self.fronts:
            found |= {
                "KOHORT_HOST": machine.address,
                "KOHORT_PORT": str(PORT),
                "KOHORT_TLS_CERTIFICATE": str(keys / "server.pem"),
                "KOHORT_TLS_KEY": str(keys / "server.key"),
                "KOHORT_TOKENS_FILE": str(keys / "tokens.json"),
            }
        return found

    def _write_keys(self) -> None:
        keys = self.folder / "keys"
        authority = Authority("drill")
        key, certificate = authority.issue(NAME, x509.DNSName(NAME))
        for name, content in (("ca.pem", authority.pem), ("server.pem", certificate), ("server.key", key)):
            (keys / name).write_bytes(content)
        (keys / "server.key").chmod(0o600)
        for client in self.clients:
            token = create_token(keys / "tokens.json", "north", client.name, ["admin"], None)
            (keys / f"{client.name}.token").write_text(token, encoding="ascii")
        (keys / "password").write_text(secrets.token_hex(16), encoding="ascii")
        (keys / "patients").touch(mode=0o600)
        (keys / "patients").write_bytes(secrets.token_bytes(32))
        ensure_signing_key(keys / "signing.pem")

    def _start_database(self) -> None:
        folder = self.folder / "db"
        folder.mkdir(mode=0o755)
        password = folder / "password"
        shutil.copyfile(self.folder / "keys" / "password", password)
        for path in (folder, password):
            shutil.chown(path, "postgres", "postgres")
        # Only what makes it is quick; it runs with all that keeps a commit over a power cut.
        auth = ("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={password}")
        self.database.do(
            *(_postgres("initdb"), "-D", f"{folder}/data", "-U", "kohort", "--no-sync", *auth),
            *("-E", "UTF8", "--locale=C"),
            user="postgres",
        )
        with (folder / "data" / "pg_hba.conf").open("a", encoding="ascii") as rules:
            rules.write("host all kohort samenet scram-sha-256\n")
        with (folder / "data" / "postgresql.conf").open("a", encoding="ascii") as settings:
            settings.write(
                f"listen_addresses = '{self.database.address}'\nunix_socket_directories = '{folder}'\n"
                "shared_buffers = 32MB\nmax_connections = 100\n"
            )
        self._pg_ctl("start")
        self.database.do(_postgres("createdb"), "-h", str(folder), "-U", "kohort", "kohort", user="postgres")

    def _pg_ctl(self, *command: str) -> None:
        folder = self.folder / "db"
        self.database.do(
            *(_postgres("pg_ctl"), "-D", f"{folder}/data", "-w", "-l", f"{folder}/log", *command),
            user="postgres",
        )

    def _start_objects(self, closing: ExitStack) -> None:
        self.store = SeaweedFS(self.folder / "objects", self.objects.address, self.objects.outside)
        closing.enter_context(self.store)
        self.store.credentials(self.folder / "keys" / "objects")


def _postgres(program: str) -> str:
    return binary(program) or unavailable(f"needs PostgreSQL's {program}")
