"""The Node client by itself: its own tests, its types, its example, its lock file."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
from pathlib import Path

import pytest
from drivers import NODE, alone, command, driver

import kohort
from examples.local_server import LocalServer
from kohort.csvio import csv_header, csv_rows

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

CSV = """
import { connect } from "%s/kohort.js";
const [address, model] = process.argv.slice(2);
const kohort = connect(address);
for await (const text of kohort.sample(model, { units: 3000, seed: 7 }).csv()) process.stdout.write(text);
kohort.close();
"""


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """Runs `npm ci` where it is needed."""
    driver("node")


def test_its_own_tests_pass() -> None:
    command("npm", "test", cwd=NODE)


def test_its_types_hold() -> None:
    command("npm", "run", "types", cwd=NODE)


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((NODE / "package-lock.json").read_text())
    assert len(lock["packages"]) > 20
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]


def test_the_package_holds_the_protos() -> None:
    with alone():
        run = subprocess.run(
            ["npm", "pack", "--dry-run", "--json"], cwd=NODE, capture_output=True, text=True, check=True
        )
    (package,) = json.loads(re.search(r"^\[.*^\]", run.stdout, re.MULTILINE | re.DOTALL)[0])  # type: ignore[index]
    names = {file["path"] for file in package["files"]}
    assert {"kohort.js", "LICENSE", "NOTICE", "protos/kohort/v1/sampling.proto"} <= names
    assert not [name for name in names if name.startswith("test/")]
    assert not (NODE / "protos").exists()


def test_the_example_and_csv_like_that_of_python(tmp_path: Path) -> None:
    with LocalServer(tmp_path, environment={"KOHORT_EVALUATION_PROFILE": "none"}) as server:
        run = subprocess.run(
            ["node", "example.js", server.address], cwd=NODE, capture_output=True, text=True, check=True
        )
        rows = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
        assert len(rows) == 5
        assert all(60 <= row["age"] <= 80 for row in rows)
        assert ": publishing\n" in run.stdout
        assert "without differential privacy" in run.stdout
        with kohort.Client(server.address) as client:
            (model,) = client.models()
            batches = list(client.sample_batches(model, 3000, seed=7))
        program = tmp_path / "csv.mjs"
        program.write_text(CSV % NODE.as_uri())
        text = subprocess.run(
            ["node", program, server.address, model.name], capture_output=True, check=True
        ).stdout
    python = b"".join(csv_rows(batch.schema, batch.batch) for batch in batches)
    assert text == csv_header(batches[0].schema) + python
    assert len(list(csv.DictReader(io.StringIO(text.decode())))) == 3000


def test_a_failed_call_is_told_in_one_line() -> None:
    run = subprocess.run(
        ["node", "example.js", "127.0.0.1:1"], cwd=NODE, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert run.stderr.startswith("UNAVAILABLE: ")
    assert "127.0.0.1:1 could not be reached" in run.stderr
