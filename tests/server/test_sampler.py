"""One stream: what each of its steps makes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kohort.bundle import read_bundle
from kohort.programs import SampleSpec
from kohort.v1 import sampling_pb2
from server import encoders, modelcache
from server.asked import Asked
from server.sampler import Production
from tests.runtime import parts


@pytest.mark.parametrize("count", [0, 10, 2500])
def test_each_step_of_a_stream_makes_a_batch_with_what_belongs_to_it(count: int) -> None:
    loaded = modelcache.Loaded(read_bundle(parts.bundle_bytes()).program(), b"", {})
    encoder = encoders.ColumnsEncoder(loaded.program, {})
    production, steps = Production(loaded, encoder, Asked(SampleSpec(1), 0, count)), []
    while not production.ended:
        steps.append(production.step())
    batches = [[message.rows for message in step if message.rows] for step in steps]
    assert all(len(rows) == 1 for rows in batches) or not count
    assert sum(map(sum, batches)) == count
    first = [sampling_pb2.SampleResponse.FromString(m.data).WhichOneof("part") for m in steps[0]]
    assert first == ["dictionary"] * len(loaded.program.dictionaries) + ["batch"] * min(1, count)
    assert production.step() == []


def test_dictionaries_are_not_all_held_at_once() -> None:
    class Wide(encoders.ColumnsEncoder):
        """Says much before the first batch."""

        def begin(self) -> Iterator[bytes]:
            yield from (bytes(1 << 20) for _ in range(10))

    program = read_bundle(parts.bundle_bytes()).program()
    production = Production(
        modelcache.Loaded(program, b"", {}), Wide(program, {}), Asked(SampleSpec(1), 0, 10)
    )
    steps = []
    while not production.ended:
        steps.append([len(message.data) for message in production.step() if not message.rows])
    assert [len(sizes) for sizes in steps] == [3, 3, 3, 1]
