"""Sample and the models, over a real server and a real graph."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as trials
from hypothesis import strategies as st

import server.encoders as encoders
from kohort import wire
from kohort.bundle import read_bundle
from kohort.columns import Batch, ContentDigest
from kohort.programs import SampleSpec
from kohort.schema import Schema
from kohort.sessions import open_session
from kohort.v1 import sampling_pb2
from server import modelcache, sampling
from tests.core.support import eventually
from tests.runtime import parts
from tests.runtime.step_program import step_bundle
from tests.server.conftest import Start, Stubs, collect, fails

COLUMNS, ARROW, CSV = (
    sampling_pb2.SAMPLE_FORMAT_COLUMNS,
    sampling_pb2.SAMPLE_FORMAT_ARROW,
    sampling_pb2.SAMPLE_FORMAT_CSV,
)


async def sample(stubs: Stubs, model: str, start: int = 0, count: int = 1000, **more: Any) -> list[Any]:
    request = sampling_pb2.SampleRequest(
        model=model, start_unit=start, unit_count=count, **{"seed": 7, **more}
    )
    return await collect(stubs.sampling.Sample(request))


def decode(messages: list[Any]) -> tuple[Schema, list[Batch]]:
    """The batches of a COLUMNS stream, each digest and the trailer checked."""
    header, trailer = messages[0].header, messages[-1].trailer
    schema = wire.schema_from_proto(header.schema)
    dictionaries, batches, whole = wire.Dictionaries(), [], ContentDigest(schema)
    for message in messages[1:-1]:
        if message.WhichOneof("part") == "dictionary":
            dictionaries.add(message.dictionary)
            continue
        batch = wire.decode_batch(message.batch, schema.table(message.batch.table), dictionaries)
        wire.check_digest(batch, message.batch.digest)
        whole.add(batch)
        batches.append(batch)
    assert whole.digest() == trailer.digest
    for table in schema:
        assert trailer.row_counts[table.name] == sum(b.row_count for b in batches if b.table == table.name)
    return schema, batches


def cells(schema: Schema, batches: list[Batch]) -> dict[str, list[Any]]:
    """Every cell by table and column."""
    return {
        f"{table.name}.{column.name}": [
            cell for b in batches if b.table == table.name for cell in b.arrays[column.name].to_python()
        ]
        for table in schema
        for column in table.columns
    }


async def test_a_stream_says_what_it_is(stubs: Stubs) -> None:
    model = await stubs.import_model()
    messages = await sample(stubs, model.name, start=5, count=300)
    header = messages[0].header
    assert [m.WhichOneof("part") for m in messages][:2] == ["header", "dictionary"]
    assert header.synthetic
    assert (header.model, header.seed, header.start_unit, header.unit_count) == (model.name, 7, 5, 300)
    assert header.content_digest == model.content_digest
    assert header.privacy.statement == "None is promised."
    assert header.schema == model.schema
    _, batches = decode(messages)
    assert batches[0].first_unit == 5
    assert batches[-1].next_unit == 305
    assert messages[-1].trailer.unit_count == 300


async def test_the_server_gives_what_the_bundle_gives(stubs: Stubs) -> None:
    model = await stubs.import_model()
    schema, batches = decode(await sample(stubs, model.name, start=100, count=777))
    program = read_bundle(parts.bundle_bytes()).program()
    assert cells(schema, batches) == cells(schema, list(program.units(SampleSpec(7), 100, 777)))


@pytest.fixture
async def imported(stubs: Stubs) -> tuple[Stubs, str, str]:
    return stubs, (await stubs.import_model()).name, (await stubs.import_model(step_bundle())).name


async def test_any_split_gives_the_same_rows(imported: tuple[Stubs, str, str]) -> None:
    stubs, *models = imported
    loop = asyncio.get_running_loop()
    wholes = [cells(*decode(await sample(stubs, model, 40, 400))) for model in models]

    @trials(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        which=st.integers(0, 1),
        cuts=st.lists(st.integers(40, 440), max_size=4),
        rows=st.lists(st.integers(0, 150), min_size=6, max_size=6),
    )
    def check(which: int, cuts: list[int], rows: list[int]) -> None:
        edges = sorted({40, *cuts, 440})
        joined: dict[str, list[Any]] = {name: [] for name in wholes[which]}
        for low, high, most in zip(edges, edges[1:], rows, strict=False):
            asked = sample(stubs, models[which], low, high - low, max_batch_rows=most)
            schema, batches = decode(asyncio.run_coroutine_threadsafe(asked, loop).result(60))
            assert not most or all(batch.row_count <= most for batch in batches)
            for name, found in cells(schema, batches).items():
                joined[name] += found
        assert joined == wholes[which]

    await asyncio.to_thread(check)


async def test_two_tables_of_patients(stubs: Stubs) -> None:
    model = await stubs.import_model(step_bundle())
    assert (model.program, model.unit) == ("step/1", "patient")
    messages = await sample(stubs, model.name, count=200)
    assert set(messages[-1].trailer.row_counts) == {"patients", "visits"}
    schema, batches = decode(messages)
    found = cells(schema, batches)
    assert len(found["patients.patient"]) == 200
    assert set(found["visits.patient"]) <= set(found["patients.patient"])


async def test_a_broken_stream_resumes_where_it_was(stubs: Stubs) -> None:
    model = await stubs.import_model()
    whole = await sample(stubs, model.name, count=5000, max_batch_rows=500)
    stream = stubs.sampling.Sample(
        sampling_pb2.SampleRequest(model=model.name, unit_count=5000, seed=7, max_batch_rows=500)
    )
    first: list[Any] = []
    async for message in stream:
        first.append(message)
        if message.WhichOneof("part") == "batch" and message.batch.next_unit >= 1500:
            stream.cancel()
            break
    resumed = first[-1].batch.next_unit
    fingerprint = first[0].header.runtime_fingerprint
    rest = await sample(stubs, model.name, resumed, 5000 - resumed, runtime_fingerprint=fingerprint)
    schema, batches = decode(rest)
    _, expected = decode(whole)
    after = {name: column[resumed:] for name, column in cells(schema, expected).items()}
    assert cells(schema, batches) == after
    failed = await fails(
        stubs.sampling.Sample(
            sampling_pb2.SampleRequest(model=model.name, unit_count=1, runtime_fingerprint="another")
        )
    )
    assert (failed.code, failed.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RUNTIME_CHANGED")


async def test_files_hold_the_same_rows(stubs: Stubs) -> None:
    model = await stubs.import_model()
    schema, batches = decode(await sample(stubs, model.name, count=3000))
    expected = cells(schema, batches)
    files = {}
    for format_ in (ARROW, CSV):
        messages = await sample(stubs, model.name, count=3000, format=format_)
        chunks = [m.chunk for m in messages[1:-1]]
        files[format_] = data = b"".join(chunk.data for chunk in chunks)
        digest = hashlib.sha256(hashlib.sha256(data).digest()).digest()
        assert messages[-1].trailer.digest == digest
        assert max(chunk.next_unit for chunk in chunks) == 3000
        assert messages[-1].trailer.row_counts == {"people": 3000}
    table = pa.ipc.open_stream(files[ARROW]).read_all()
    assert table.schema.metadata[b"kohort.synthetic"] == b"true"
    assert table.schema.metadata[b"kohort.model"] == model.name.encode()
    assert table.column("sex").to_pylist() == expected["people.sex"]
    assert table.column("age").to_pylist() == expected["people.age"]
    lines = list(csv.reader(io.StringIO(files[CSV].decode(), newline="")))
    assert lines[0] == [column.name for column in schema.tables[0].columns]
    sex = lines[0].index("sex")
    assert [line[sex] or None for line in lines[1:]] == expected["people.sex"]


async def test_csv_has_no_lists(stubs: Stubs) -> None:
    model = await stubs.import_model(step_bundle())
    failed = await fails(
        stubs.sampling.Sample(sampling_pb2.SampleRequest(model=model.name, unit_count=1, format=CSV))
    )
    assert (failed.reason, failed.fields) == ("FORMAT_UNSUPPORTED", ("visits.others",))


async def test_no_message_is_too_large(stubs: Stubs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "MAX_MESSAGE", 2000)
    monkeypatch.setattr(encoders, "CHUNK", 2000)
    model = await stubs.import_model()
    whole = await sample(stubs, model.name, count=2000)
    assert max(m.ByteSize() for m in whole) <= 2200
    monkeypatch.undo()
    schema, batches = decode(whole)
    assert cells(schema, batches) == cells(*decode(await sample(stubs, model.name, count=2000)))
    done = 0
    for batch in batches:
        done = max(done, batch.next_unit)
        assert batch.first_unit + batch.row_count >= done, "no unit is complete before its rows came"


async def test_no_units(stubs: Stubs) -> None:
    model = await stubs.import_model()
    messages = await sample(stubs, model.name, start=9, count=0)
    assert messages[-1].WhichOneof("part") == "trailer"
    assert messages[-1].trailer.row_counts == {"people": 0}


async def test_a_seed_is_drawn_and_told(stubs: Stubs) -> None:
    model = await stubs.import_model()
    seeds = set()
    for _ in range(2):
        request = sampling_pb2.SampleRequest(model=model.name, unit_count=50)
        messages = await collect(stubs.sampling.Sample(request))
        seeds.add(messages[0].header.seed)
        again = await sample(stubs, model.name, count=50, seed=messages[0].header.seed)
        assert again[-1].trailer.digest == messages[-1].trailer.digest
    assert len(seeds) == 2


async def test_work_stops_when_the_client_leaves_or_stalls(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, stubs = await start()
    model = await stubs.import_model()
    count = [0]
    encode = encoders.ColumnsEncoder.batch

    def counted(self: Any, batch: Batch) -> Any:
        count[0] += 1
        return encode(self, batch)

    writes, made_ahead = [0, 0], sampling.stream

    async def watched(*given: Any) -> AsyncIterator[bytes]:
        async with aclosing(made_ahead(*given)) as messages:
            async for message in messages:
                writes[0] += 1
                yield message
                writes[1] += 1

    monkeypatch.setattr(encoders.ColumnsEncoder, "batch", counted)
    monkeypatch.setattr(sampling, "stream", watched)
    stream = stubs.sampling.Sample(
        sampling_pb2.SampleRequest(model=model.name, unit_count=50_000_000, seed=1)
    )
    assert (await stream.read()).WhichOneof("part") == "header"

    # The reader stalls: flow control lets some messages through, then production waits.
    async def stalls() -> bool:
        then = list(writes)
        await asyncio.sleep(0.3)
        return then == writes and then[0] > then[1]

    await eventually(stalls, "one write to last")
    before = count[0]
    assert 0 < before < 40
    stream.cancel()
    gauge = server.metrics.streams.labels("sample")
    await eventually(lambda: gauge._value.get() == 0, "the stream to end")
    await asyncio.sleep(0.3)
    assert count[0] <= before + 1, "but for the batch that was being made nothing is made any more"


async def test_a_deadline_that_cannot_be_met_is_refused_early(stubs: Stubs) -> None:
    model = await stubs.import_model()
    await sample(stubs, model.name, count=50_000)
    request = sampling_pb2.SampleRequest(model=model.name, unit_count=1_000_000_000, seed=1)
    failed = await fails(stubs.sampling.Sample(request, timeout=20))
    assert (failed.code, failed.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_TOO_SHORT")


async def test_a_model_goes_out_and_comes_back(stubs: Stubs) -> None:
    data = parts.bundle_bytes()
    model = await stubs.import_model(data, display_name="first", labels={"a": "b"})
    messages = await collect(stubs.sampling.DownloadModel(sampling_pb2.DownloadModelRequest(name=model.name)))
    info = messages[0].header
    assert (info.size_bytes, info.sha256) == (len(data), hashlib.sha256(data).digest())
    assert b"".join(m.data for m in messages[1:]) == data
    again = await stubs.import_model(data, sha256=info.sha256)
    assert again.name != model.name
    assert again.content_digest == model.content_digest
    assert again.bundle_digest == info.sha256
    assert (model.display_name, dict(model.labels)) == ("first", {"a": "b"})
    assert not model.verified
    assert "UNVERIFIED_BUNDLE" in {finding.reason for finding in model.findings}


async def test_an_import_may_be_repeated(stubs: Stubs) -> None:
    request_id = "01234567-89ab-4cde-8f01-23456789abcd"
    first = await stubs.import_model(request_id=request_id)
    assert await stubs.import_model(request_id=request_id) == first
    models = (await stubs.sampling.ListModels(sampling_pb2.ListModelsRequest())).models
    assert [m.name for m in models] == [first.name]


async def test_a_deleted_model_is_gone_but_its_streams_end(start: Start) -> None:
    server, stubs = await start()
    model = await stubs.import_model()
    request = sampling_pb2.SampleRequest(model=model.name, unit_count=300_000, seed=1)
    stream = aiter(stubs.sampling.Sample(request))
    assert (await anext(stream)).WhichOneof("part") == "header"
    await stubs.sampling.DeleteModel(sampling_pb2.DeleteModelRequest(name=model.name))
    rest = await collect(stream)
    assert rest[-1].trailer.row_counts == {"people": 300_000}
    failed = await fails(stubs.sampling.DeleteModel(sampling_pb2.DeleteModelRequest(name=model.name)))
    assert (failed.code, failed.reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
    assert not list((server.settings.data_dir / "blobs" / "models").rglob("*.kohort"))


async def test_a_damaged_blob_is_a_defect_not_the_clients_fault(start: Start) -> None:
    server, stubs = await start()
    model = await stubs.import_model()
    blob = next((server.settings.data_dir / "blobs" / "models").rglob("*.kohort"))
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(bytes(data))
    failed = await fails(stubs.sampling.Sample(sampling_pb2.SampleRequest(model=model.name, unit_count=1)))
    assert (failed.code, failed.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")


async def test_a_model_is_loaded_once_and_the_cache_is_bounded(start: Start) -> None:
    server, stubs = await start(cached_models=2)
    models = [(await stubs.import_model()).name for _ in range(3)]
    await asyncio.gather(*(sample(stubs, models[0], count=10) for _ in range(5)))
    assert server.metrics.cache_misses._value.get() == 1
    assert server.metrics.cache_hits._value.get() == 4
    for model in models[1:]:
        await sample(stubs, model, count=10)
    assert server.metrics.cached_models._value.get() == 2
    await sample(stubs, models[0], count=10)
    assert server.metrics.cache_misses._value.get() == 4


async def test_an_operator_gives_graphs_more_threads(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def opened(graph: bytes, **options: Any) -> Any:
        threads.append(options["threads"])
        return open_session(graph, **options)

    monkeypatch.setattr("server.bundles.open_session", opened)
    _, stubs = await start(graph_threads=3)
    model = await stubs.import_model()
    schema, batches = decode(await sample(stubs, model.name, count=500))
    assert threads == [3]
    program = read_bundle(parts.bundle_bytes()).program()
    assert cells(schema, batches) == cells(schema, list(program.units(SampleSpec(7), 0, 500)))


async def test_a_failed_load_is_tried_again(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    server, stubs = await start()
    model = await stubs.import_model()
    blob = next((server.settings.data_dir / "blobs" / "models").rglob("*.kohort"))
    data = blob.read_bytes()
    blob.unlink()
    assert (
        await fails(stubs.sampling.Sample(sampling_pb2.SampleRequest(model=model.name, unit_count=1)))
    ).reason == "STORE_UNAVAILABLE"
    blob.write_bytes(data)
    assert (await sample(stubs, model.name, count=3))[-1].trailer.unit_count == 3


async def test_models_are_listed_in_pages(stubs: Stubs) -> None:
    made = [(await stubs.import_model()).name for _ in range(5)]
    seen, token = [], ""
    while True:
        page = await stubs.sampling.ListModels(sampling_pb2.ListModelsRequest(page_size=2, page_token=token))
        seen += [m.name for m in page.models]
        assert len(page.models) <= 2
        token = page.next_page_token
        if not token:
            break
    assert seen == made[::-1]


def test_rates_are_noted_only_from_enough_units() -> None:
    loaded = modelcache.Loaded(None, b"", {})  # type: ignore[arg-type]
    loaded.saw(10, 1e-9)
    assert not loaded.units_per_second
    loaded.saw(1000, 0.5)
    loaded.saw(1000, 1.0)
    assert loaded.units_per_second == 2000
