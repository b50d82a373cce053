"""Two real servers on one store draw one sample, and one of them is killed on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import kohort
from kohort.digests import ContentDigest
from tests.e2e.conftest import HEART
from tests.e2e.harness import Server

pytestmark = pytest.mark.slow
UNITS = 100_000


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    """Two servers of one deployment: one database, one blob store."""
    shared = str(tmp_path / "first" / "var")
    first, second = (Server(tmp_path / name, "--data-dir", shared) for name in ("first", "second"))
    for server in (first, second):
        server.folder.mkdir()
    try:
        yield first.start(), second.start()
    finally:
        for server in (first, second):
            server.stop()


def digest(batches: Iterator[kohort.SampleBatch]) -> bytes:
    whole = ContentDigest()
    for batch in batches:
        whole.add(batch.batch)
    return whole.digest()


def test_replicas_give_what_one_server_gives_though_one_is_killed(pair: tuple[Server, Server]) -> None:
    first, second = pair
    with first.client() as one, second.client() as other:
        model = one.train(one.upload(HEART, table="heart"), "copula", seed=1).result()
        asked: dict[str, Any] = {"seed": 7, "conditions": {"sex": 1}}
        alone = digest(one.sample_batches(model, UNITS, **asked))
        plain = one.sample(model, 20_000, seed=7, start=500)
        with kohort.Replicas([one, other]) as replicas:
            got = replicas.sample(model, 20_000, seed=7, start=500)
            assert got.equals(plain)
            assert got.attrs["kohort"] == plain.attrs["kohort"]
            assert digest(replicas.sample_batches(model, UNITS, **asked)) == alone
            by_content = replicas.sample_batches(model.info.content_digest, 1000, seed=7)
            assert digest(by_content) == digest(one.sample_batches(model, 1000, seed=7))
        with kohort.Replicas([one, other], ahead_bytes=1 << 18) as replicas:
            batches = replicas.sample_batches(model, UNITS, **asked)
            whole = ContentDigest()
            for number, batch in enumerate(batches):
                whole.add(batch.batch)
                if number == 3:
                    second.kill()  # mid-stream: little may wait, and its part is not over
            assert whole.digest() == alone
