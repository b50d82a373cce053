"""Real servers with a model of every kind of column: plaintext, TLS and tokens, client certificates."""

from __future__ import annotations

import csv
import json
import re
import shutil
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from canonical import column_texts
from drivers import ROOT
from papers import LAB, Papers

import kohort
from kohort.bundle import collect, read_bundle
from kohort.wishes import spec_of
from server.identities import create_token
from tests.core.support import until
from tests.e2e.harness import Server

HEART = ROOT / "tests" / "data" / "heart.csv"
WARDS = ("Zürich – Öst", "日本語", "Ward A", "")
ANSWER = 500
"""Bytes that one who follows a job has got by the first answer; before it there are less than 200."""
TENANT = "local"
"""Who calls a server that asks for no identity; the others know their callers under the same name."""


class Staying(Server):
    """A server on a port that is its own also while it does not run."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self._held = socket.socket()
        # A socket that does not listen lets the server's, and no other port 0, have the same number.
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._held.bind(("127.0.0.1", 0))
        super().__init__(folder, "--port", str(self._held.getsockname()[1]), *flags)

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._held.close()


@dataclass(frozen=True)
class Real:
    """The servers, and what is the same on all of them."""

    servers: dict[str, Server]
    """By transport."""
    papers: Papers
    tokens: dict[str, str]
    """By role, of the server with TLS."""
    file: Path
    """What the model was trained on."""
    model: str
    bundle: Path
    spare: Path
    """The folder of a server that knows the model and does not run."""

    def address(self, transport: str) -> str:
        """host:port of a server."""
        return self.servers[transport].address

    def reach(self, transport: str) -> dict[str, Any]:
        """The variables of a driver that may do everything here."""
        token = {"token": self.tokens["trainer"]} if transport == "tls" else {}
        return self.papers.reach(transport) | token

    def logged(self, transport: str, text: str) -> bool:
        """Whether a server says this in its log: once the answer is out, so a quick driver may be faster."""
        return bool(until(lambda: text in self.servers[transport].log(), f"{text} in the log"))

    def another(self, folder: Path, *flags: str) -> Server:
        """A server of the same data that a test may end, on a port that it keeps over restarts."""
        shutil.copytree(self.spare, folder, dirs_exist_ok=True)
        return Staying(folder, *flags)

    def cells(self, start: int, count: int, seed: int, **conditions: Any) -> dict[str, Any]:
        """What a driver must print under `tables`: the cells that the bundle makes in this process."""
        return _cells(self.bundle, start, count, seed, tuple(conditions.items()))


@cache
def _cells(
    bundle: Path, start: int, count: int, seed: int, conditions: tuple[tuple[str, Any], ...]
) -> dict[str, Any]:
    program = read_bundle(bundle).program()
    found = collect(program, spec_of(seed, conditions=dict(conditions)), start, count)
    return {
        table.name: {
            column.name: column_texts(column, found[table.name][column.name].to_python())
            for column in table.columns
        }
        for table in program.schema
    }


@contextmanager
def serve(folder: Path) -> Iterator[Real]:
    """Trains on one server, and starts three on copies of its data."""
    plain = folder / "plain"
    plain.mkdir()
    file = folder / "patients.csv"
    write_patients(file)
    with Server(plain) as server, server.client() as client:
        model = client.train(client.upload(file, table="heart"), trainer="copula", seed=1).result().name
        bundle = client.download(model, folder / "model.kohort")
    spare = folder / "spare"
    shutil.copytree(plain / "var", spare / "var")
    papers = Papers(folder)
    tokens_file = folder / "tokens.json"
    tokens = {
        role: create_token(tokens_file, TENANT, role, [role, "generator"] if role == "trainer" else [role])
        for role in ("viewer", "trainer")
    }
    (folder / "who.json").write_text(
        json.dumps(
            {"certificates": {LAB: {"tenant": TENANT, "name": "lab", "roles": ["trainer", "generator"]}}}
        )
    )
    tls = ["--tls-certificate", papers.certificate("server"), "--tls-key", papers.key("server")]
    identities = ["--tls-client-ca", papers.ca, "--identities-file", folder / "who.json"]
    flags: dict[str, list[Any]] = {
        "plain": [],
        "tls": [*tls, "--tokens-file", tokens_file],
        "mtls": [*tls, *identities],
    }
    servers = {}
    with ExitStack() as running:
        for transport, words in flags.items():
            if transport != "plain":  # which trains, too
                shutil.copytree(spare, folder / transport)
                words += ["--devices", ""]
            servers[transport] = running.enter_context(Server(folder / transport, *map(str, words)))
        yield Real(servers, papers, tokens, file, model, bundle, spare)


@contextmanager
def busy(client: kohort.Client) -> Iterator[None]:
    """Takes the one slot of a server meanwhile, so that other jobs wait."""
    job = client.train(client.upload(HEART, table="heart"), "slow", seed=1, steps=10_000)
    try:
        yield
    finally:
        job.cancel()


def metric(server: Server, name: str, **labels: str) -> float:
    """A value of a server's metrics page, as it is now."""
    port = re.findall(r"metrics_port[\"'= :]+(\d+)", server.log())[-1]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
        lines = page.read().decode().splitlines()
    wanted = {f'{label}="{value}"' for label, value in labels.items()}
    found = [line for line in lines if re.match(rf"{name}[{{ ]", line) and all(w in line for w in wanted)]
    assert found, f"no {name} with {wanted}"
    return sum(float(line.rpartition(" ")[2]) for line in found)


def write_patients(file: Path) -> None:
    """The heart patients with columns of the kinds they lack."""
    with HEART.open(newline="") as source:
        rows = list(csv.DictReader(source))
    for i, row in enumerate(rows):
        moment = datetime(2795, 6, 30, 12, 0, 0) + timedelta(hours=7 * i, microseconds=i)
        row["ward"] = WARDS[i % len(WARDS)]
        row["smoker"] = ("true", "false", "")[i % 3]
        row["weight"] = f"{55 + i % 40}.{i % 10}{i % 7}"
        row["admitted"] = str(moment.date())
        row["discharged"] = moment.isoformat() if i % 5 else ""
    with file.open("w", newline="") as target:
        writer = csv.DictWriter(target, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
