"""A fake server, and one client fixture that is both clients in turn."""

import asyncio
import inspect
import sys
from pathlib import Path

import pytest

from kohort import AsyncClient, Client
from kohort.cli.main import run

sys.path.insert(0, str(Path(__file__).parent))

from fake_parts import QUICK
from fake_server import Fake


class Blocking:
    """An asynchronous object with the synchronous one's surface, so that one test reads for both."""

    def __init__(self, target, runner):
        self._target, self._runner = target, runner

    def __getattr__(self, name):
        return self._wrap(getattr(self._target, name))

    def __repr__(self):
        return repr(self._target)

    def _wrap(self, value):
        if inspect.isasyncgen(value):
            return self._iterate(value)
        if inspect.iscoroutine(value):
            return self._wrap(self._runner.run(value))
        if callable(value) and not isinstance(value, type):
            return lambda *a, **k: self._wrap(value(*map(self._unwrap, a), **k))
        return Blocking(value, self._runner) if type(value).__name__.startswith("Async") else value

    def _unwrap(self, value):
        return value._target if isinstance(value, Blocking) else value

    def _iterate(self, generator):
        async def following():
            return await anext(generator)

        try:
            while True:
                try:
                    yield self._wrap(self._runner.run(following()))
                except StopAsyncIteration:
                    return
        finally:
            self._runner.run(generator.aclose())


@pytest.fixture
def fake():
    with Fake() as server:
        yield server


@pytest.fixture(params=["sync", "async"])
def connect(request):
    """Makes clients of one kind and closes them."""
    opened = []
    with asyncio.Runner() as runner:

        def make(target, **settings):
            settings = {"retry": QUICK, **settings}
            if request.param == "sync":
                client = Client(target, **settings)
            else:
                client = Blocking(AsyncClient(target, **settings), runner)
            opened.append(client)
            return client

        yield make
        for client in opened:
            client.close()


@pytest.fixture
def client(connect, fake):
    return connect(fake.target)


@pytest.fixture
def cli(fake, capfd, monkeypatch):
    monkeypatch.setenv("KOHORT_SERVER", fake.target)

    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            run([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return ended.value.code, out, err

    return call


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "heart.csv"
    path.write_text("age,sex\n61,f\n70,m\n")
    return path
