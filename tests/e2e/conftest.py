"""Servers for the end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.local_server import ROOT
from tests.e2e.harness import Server

HEART = ROOT / "tests" / "data" / "heart.csv"


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for every test that breaks nothing."""
    server = Server(tmp_path_factory.mktemp("server"), "--devices", "cpu:1").start()
    yield server
    assert server.stop() == 0, server.log()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Server]:
    """A server for a test that kills it."""
    server = Server(tmp_path).start()
    yield server
    server.stop()
