"""The drivers, the servers that they call, and the ways to reach them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The modules beside this file import one another; the import mode of pytest does not see to that.
sys.path.insert(0, str(Path(__file__).parent))

from drivers import LANGUAGES, Driver, driver
from fake import Fake
from real import Real, serve

from examples.local_server import LocalServer

TRANSPORTS = ("plain", "tls", "mtls")


@pytest.fixture(scope="session", params=LANGUAGES)
def drive(request: pytest.FixtureRequest) -> Driver:
    """The driver of one language after another."""
    return driver(request.param)


@pytest.fixture(scope="session")
def fleet() -> dict[str, Driver]:
    """The drivers of all languages at once."""
    return {language: driver(language) for language in LANGUAGES}


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    """One way to reach a server after another."""
    return str(request.param)


@pytest.fixture(scope="session")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fake]:
    """The server that plays golden and broken streams."""
    with Fake(tmp_path_factory.mktemp("fake")) as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real server with nothing on it."""
    folder = tmp_path_factory.mktemp("server")
    with LocalServer(folder, environment={"KOHORT_EVALUATION_PROFILE": "none"}) as running:
        yield running.address


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """Real servers with a model; tests may add to them, and leave them running."""
    with serve(tmp_path_factory.mktemp("real")) as servers:
        yield servers
