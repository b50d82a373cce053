"""A built reader per language, and the fake server."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

# The modules beside this file import one another; the import mode of pytest does not see to that.
sys.path.insert(0, str(Path(__file__).parent))

import fake
from readers import Reader, reader

LANGUAGES = ("python", "go", "java", "node")


@pytest.fixture(scope="session", params=LANGUAGES)
def read(request: pytest.FixtureRequest) -> Reader:
    """The reader of one language after another."""
    return reader(request.param)


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """The address of the fake server."""
    server, address = await fake.serve()
    yield address
    await server.stop(None)
