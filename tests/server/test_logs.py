"""What is logged, how often, and what becomes of it when nobody can take it."""

from __future__ import annotations

import io
import json
import sys

import pytest
import structlog

from server import logs


class _Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.fixture(autouse=True)
def _as_before() -> object:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def test_a_log_that_cannot_be_written_costs_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", _Full())
    logs.configure("info", "json")
    structlog.get_logger(log="access").info("call")
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    logs.configure("info", "json")
    structlog.get_logger(log="access").info("call")


class _Writes(io.StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.all: list[str] = []

    def write(self, text: str) -> int:
        self.all.append(text)
        return len(text)


def test_a_line_is_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the lines of processes that share a stream end up in one another."""
    monkeypatch.setattr(sys, "stderr", _Writes())
    logs.configure("info", "json")
    structlog.get_logger().info("here", number=1)
    (line,) = sys.stderr.all
    assert line.endswith("}\n")
    assert json.loads(line)["event"] == "here"


def test_trouble_is_told_once_and_when_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    logs.configure("info", "json")
    trouble = logs.Trouble(structlog.get_logger(log="worker"), "heartbeat failed")
    trouble.worked()
    for reason in ("STORE_UNAVAILABLE",) * 5 + ("STORAGE_FULL",) * 5:
        trouble.failed(reason, job="j")
    trouble.worked()
    trouble.worked()
    trouble.failed("STORAGE_FULL")
    said = [(line["event"], line.get("reason")) for line in map(json.loads, out.getvalue().splitlines())]
    assert said == [
        ("heartbeat failed", "STORE_UNAVAILABLE"),
        ("heartbeat failed", "STORAGE_FULL"),
        ("works again", None),
        ("heartbeat failed", "STORAGE_FULL"),
    ]
