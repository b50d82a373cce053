"""What a server is told before it serves: slots, settings, the command line, files."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from server.app import Server, StartError
from server.settings import Settings, from_flags
from server.slots import parse_kinds, parse_slots
from tests.server.conftest import settings

ROOT = Path(__file__).resolve().parents[2]


def test_slots() -> None:
    assert parse_slots("cpu:2") == ("cpu:0", "cpu:1")
    assert parse_slots("cuda:0, cuda:1,cpu:1") == ("cuda:0", "cuda:1", "cpu:0")
    assert parse_slots("") == ()
    for wrong in ("cpu", "gpu:1", "cuda:a", "cuda:0,cuda:0", "cpu:-1"):
        with pytest.raises(ValueError, match="devices"):
            parse_slots(wrong)


def test_what_ray_places_jobs_on() -> None:
    assert parse_kinds("cuda, cpu") == ("cuda", "cpu")
    for wrong in ("", "gpu", "cpu,cpu", "cuda:0"):
        with pytest.raises(ValueError, match="ray_kinds"):
            parse_kinds(wrong)
    assert Settings().offered() == ("cpu:0",)
    left_to_ray = Settings(executor="ray", ray_kinds="cuda,cpu")
    assert (left_to_ray.slots(), left_to_ray.offered()) == ((), ("cuda", "cpu"))
    assert Settings(executor="ray", devices="").slots() == ()


def test_where_settings_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "kohort.toml"
    file.write_text('port = 1\nmetrics_port = 2\nhost = "localhost"\n')
    monkeypatch.setenv("KOHORT_CONFIG", str(file))
    monkeypatch.setenv("KOHORT_METRICS_PORT", "3")
    found = from_flags(["--port", "4", "--reflection", "--data-dir", str(tmp_path)])
    assert (found.port, found.metrics_port, found.host, found.reflection) == (4, 3, "localhost", True)
    assert found.database == f"sqlite:///{tmp_path}/kohort.db"
    assert found.signing_key_file == tmp_path / "keys" / "signing.pem"
    monkeypatch.setenv("KOHORT_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(ValueError, match="KOHORT_CONFIG"):
        Settings()


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name


@pytest.mark.parametrize(
    "given",
    [
        {"heartbeat_seconds": 20},
        {"tls_key": "k"},
        {"tls_client_ca": "c"},
        {"identities_file": "i"},
        {"port": 70_000},
        {"executor": "ray", "devices": "cpu:1"},
    ],
)
def test_settings_that_contradict(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**given)


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "server", *arguments],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_command_line_tells_what_is_wrong(tmp_path: Path) -> None:
    unknown = run("dance", cwd=tmp_path)
    assert (unknown.returncode, "usage:" in unknown.stderr) == (2, True)
    wrong = run("--host", "0.0.0.0", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "tls_certificate" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = run("--port", port, "--metrics-port", "-1", "--devices", "", cwd=tmp_path)
    assert refused.returncode == 1
    assert f"127.0.0.1:{port}" in refused.stderr
    assert "Traceback" not in refused.stderr
    made = run(
        "token",
        "create",
        "--file",
        "t.json",
        "--tenant",
        "a",
        "--name",
        "b",
        "--role",
        "viewer",
        cwd=tmp_path,
    )
    assert made.returncode == 0
    assert made.stdout.startswith("kohort_")
    assert made.stdout.strip().split("_", 2)[2] not in (tmp_path / "t.json").read_text()


@pytest.mark.parametrize(
    ("setting", "value"),
    [("data_dir", "a_file"), ("address_file", "nowhere/address"), ("signing_key_file", "a_file")],
)
async def test_what_cannot_be_used_is_told_in_one_line(tmp_path: Path, setting: str, value: str) -> None:
    (tmp_path / "a_file").write_text("x")
    server = Server(settings(tmp_path, **{setting: tmp_path / value}))
    with pytest.raises(StartError, match=setting) as caught:
        await server.start()
    assert "\n" not in str(caught.value)
