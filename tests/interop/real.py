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

from kohort.bundle import collect, read_bundle
from kohort.wishes import spec_of
from server.identities import create_token
from tests.e2e.harness import Server

HEART = ROOT / "tests" / "data" / "heart.csv"
WARDS = ("Zürich – Öst", "日本語", "Ward A", "")
TENANT = "local"
"""Who calls a server that asks for no identity; the others know their callers under the same name."""


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

    def another(self, folder: Path, *flags: str) -> Server:
        """A server of the same data that a test may end, on a port that it keeps over restarts."""
        shutil.copytree(self.spare, folder, dirs_exist_ok=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        return Server(folder, "--port", str(port), *flags)

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
