"""The one call of a training job: what lands in the file, and what must not."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from exporters.publish import GRAPH, export_bundle
from kohort.bundle import read_bundle
from kohort.columns import Array
from kohort.noise import block_noise
from kohort.problem import Problem
from kohort.programs import SampleSpec
from kohort.schema import Column, Finding, Handling, Kind, Schema, Storage, TableSchema
from tables.statistics import StatisticsSource
from tables.tableset import Table, TableSet
from trainers.base import FitRequest, Hooks
from trainers.copula import CopulaTrainer
from trainers.encoding import Encoding, NumberEncoding

PRIVACY = {"differentially_private": False, "epsilon": None, "delta": None, "min_patients_per_value": 5}


def publish(generator, schema, path, **more):
    arguments = {"privacy": PRIVACY, "findings": [], "lineage": {"job": "jobs/1"}, **more}
    return export_bundle(generator, schema, CopulaTrainer.info, {}, 1, path=path, **arguments)


def test_samples_from_the_file_are_the_encodings_own(table, generator, tmp_path):
    phases = []
    finding = Finding("RARE_VALUES_PROTECTED", "some", "all", "int")
    path = tmp_path / "x.kohort"
    written = publish(generator, Schema((table.schema,)), path, findings=[finding], phase=phases.append)
    assert phases == ["exporting", "verifying", "publishing"]
    assert written.size == path.stat().st_size
    bundle = read_bundle(path)
    assert bundle.manifest.findings == (finding,)
    assert bundle.manifest.trainer == "copula"
    assert bundle.manifest.program["noise"]["block"] == 1024
    batches = list(bundle.program().units(SampleSpec(seed=4), 0, 2500))
    assert sum(batch.row_count for batch in batches) == 2500
    for column in generator.encoding.columns:
        cells = Array.concat([batch.arrays[column.column] for batch in batches])
        assert cells.storage is column.storage
        if isinstance(column, NumberEncoding):
            present = cells.values[cells.is_valid()]
            if column.step:
                assert ((present.astype(object) - column.base) % column.step == 0).all()
            if column.anchor is None:
                low, high = column.span
                assert low <= present.min()
                assert present.max() <= high
        else:
            assert set(cells.to_python()) <= {*column.values, *([None] if column.nulls else [])}
        assert column.nulls == (not cells.is_valid().all())


@pytest.mark.parametrize("scheme", [1, 2])
def test_the_noise_is_of_the_scheme_that_the_generator_names(table, generator, tmp_path, scheme):
    class Named(type(generator)):
        @property
        def noise(self):
            return replace(super().noise, scheme=scheme)

        def reference(self, uniform, normal):
            seen.append(normal)
            return super().reference(uniform, normal)

    seen = []
    path = tmp_path / "x.kohort"
    publish(Named(generator.encoding), Schema((table.schema,)), path)
    noise = read_bundle(path).manifest.program["noise"]
    assert noise["scheme"] == scheme
    wanted = block_noise(0, 0, 0, noise["block"], noise["uniforms"], noise["normals"], scheme)[1]
    assert seen[0].tobytes() == wanted.tobytes()


def test_lineage_and_time_change_no_content(table, generator, tmp_path):
    schema = Schema((table.schema,))
    one = publish(generator, schema, tmp_path / "1")
    two = publish(generator, schema, tmp_path / "2", lineage={"job": "jobs/2"})
    again = publish(generator, schema, tmp_path / "3")
    assert one.content_digest == two.content_digest
    assert one.digest != two.digest
    assert (tmp_path / "1").read_bytes() == (tmp_path / "3").read_bytes()
    assert again.digest == one.digest


def test_refuses_several_tables(table, generator, tmp_path):
    schema = Schema((table.schema, TableSchema("more", table.schema.columns)))
    with pytest.raises(Problem) as refused:
        publish(generator, schema, tmp_path / "x")
    assert refused.value.reason == "MULTI_TABLE_UNSUPPORTED"
    assert not list(tmp_path.iterdir())


PLANTED = {
    "int": (Kind.INTEGER, Storage.INT64, 987_654_321),
    "low": (Kind.INTEGER, Storage.INT64, -123_456_789),
    "decimal": (Kind.DECIMAL, Storage.DECIMAL, 77_777_777_123),
    "double": (Kind.DECIMAL, Storage.DOUBLE, 31337.123456789),
    "inner": (Kind.DECIMAL, Storage.DOUBLE, 0.4142135623730951),
    "date": (Kind.DATE, Storage.DATE, -55_555),
    "moment": (Kind.DATETIME, Storage.DATETIME, 4_102_444_812_345_000),
    "span": (Kind.DURATION, Storage.DURATION, 5_432_109_876_543),
    "name": (Kind.CATEGORY, Storage.STRING, "Wanda Planted-4711"),
    "code": (Kind.CATEGORY, Storage.INT64, 135_792_468),
}


def planted_table(rng, n=1500, holders=1):
    """A table of patients of two rows each, in which `holders` patients hold an extreme in every column."""
    columns, arrays = [], {}
    for name, (kind, storage, value) in PLANTED.items():
        cells = {
            Storage.DOUBLE: lambda: rng.random(n),
            Storage.STRING: lambda: rng.integers(0, 3, n),
            Storage.DATETIME: lambda: 1_600_000_000_000_000 + rng.integers(0, 10**14, n),
            Storage.DATE: lambda: rng.integers(10_000, 15_000, n),
        }.get(storage, lambda: rng.integers(0, 200, n))()
        cells = cells % 4 if name == "code" else cells
        words = ("red", "green", "blue", value) if storage is Storage.STRING else None
        cells[: 2 * holders] = 3 if words else value
        columns.append(Column(name, kind, storage, Handling.MODEL))
        arrays[name] = Array.make(storage, cells, None, words)
    columns.append(Column("patient", Kind.ID, Storage.INT64, Handling.REGENERATE))
    arrays["patient"] = Array.make(Storage.INT64, np.arange(n) // 2)
    return Table(TableSchema("planted", tuple(columns), subject_key="patient"), arrays)


def needles(table, encoding):
    """Per column, every way in which its planted value could be written down."""
    found = {}
    for column in encoding.columns:
        value = PLANTED[column.column][2]
        if isinstance(value, str):
            found[column.column] = [value.encode(), value.encode("utf-16-le")]
            continue
        numbers = [value]
        if isinstance(column, NumberEncoding) and column.step:
            numbers.append((value - column.base) // column.step)
            numbers.append(value - column.base)
        forms = [str(value).encode()]
        for number in numbers:
            whole = [np.int64, np.int32] if abs(number) < 2**31 else [np.int64]
            types = [np.float64, np.float32, *(whole if isinstance(number, int) else [])]
            forms += [np.array(number, dtype).tobytes() for dtype in types]
        found[column.column] = forms
    return found


@pytest.mark.parametrize("model", ["toy", "copula"])
@pytest.mark.parametrize("k", [1, 5])
def test_a_value_of_one_patient_is_in_no_byte_and_no_sample(toy, tmp_path, model, k):
    table = planted_table(np.random.default_rng(8))
    if model == "copula":
        request = FitRequest(TableSet({"planted": table}), TableSet({}), {}, seed=1, min_patients=k)
        generator = CopulaTrainer().fit(request, Hooks())
    else:
        generator = toy(Encoding.fit(table, StatisticsSource(), k))
    publish(generator, Schema((table.schema,)), tmp_path / "x.kohort")
    with zipfile.ZipFile(tmp_path / "x.kohort") as archive:
        assert GRAPH in archive.namelist()
        written = b"".join(archive.read(name) for name in archive.namelist())
    written += json.dumps(generator.encoding.to_json(), ensure_ascii=False).encode()
    leaks = {
        name for name, forms in needles(table, generator.encoding).items() if any(f in written for f in forms)
    }
    cells = {}
    for batch in read_bundle(tmp_path / "x.kohort").program().units(SampleSpec(seed=1), 0, 20_000):
        for name, array in batch.arrays.items():
            cells.setdefault(name, set()).update(array.to_python())
    sampled = {name for name, (_, _, value) in PLANTED.items() if value in cells[name]}
    if k == 1:
        # The search finds what is there: without protection every extreme and category shows.
        assert leaks >= set(PLANTED) - {"inner"}
        assert sampled
        return
    assert leaks == set()
    assert sampled == set()
    # Nor does the extreme pull the range along: what lies outside is far from what others have.
    assert max(cells["int"]) <= 200
    assert min(cells["low"]) >= 0
    assert max(cells["double"]) <= 1.0
    assert max(cells["moment"]) <= 1_700_000_000_000_000


def test_levels_that_few_patients_hold_are_not_published(tmp_path):
    levels = ("none", "mild", "severe", "PLANTED", "NOBODY")
    column = Column("pain", Kind.ORDINAL, Storage.STRING, Handling.MODEL, nullable=False, levels=levels)
    gone = Column("gone", Kind.ORDINAL, Storage.STRING, Handling.DROP, levels=levels)
    score = Column(
        "score", Kind.ORDINAL, Storage.DECIMAL, Handling.MODEL, scale=1, levels=("1.5", "0.5", "2.5")
    )
    codes = np.append(np.arange(60) % 3, 3)
    text = Array.make(Storage.STRING, codes, None, levels)
    points = Array.make(Storage.DECIMAL, np.append(np.where(np.arange(60) % 2, 5, 15), 25))
    table = Table(TableSchema("t", (column, gone, score)), {"pain": text, "gone": text, "score": points})
    tables = TableSet({"t": table})
    generator = CopulaTrainer().fit(FitRequest(tables, tables, {}, 1), Hooks())
    path = tmp_path / "x"
    publish(generator, Schema((table.schema,)), path)
    pain, nothing, half = read_bundle(path).manifest.schema.tables[0].columns
    assert pain.levels == ("none", "mild", "severe")
    assert nothing.levels == ()
    assert half.levels == ("1.5", "0.5")
    assert generator.encoding.columns[1].values == (15, 5)
    assert b"PLANTED" not in path.read_bytes()
    assert b"NOBODY" not in path.read_bytes()


def test_a_graph_too_large_for_a_bundle_is_refused_before_it_is_opened(
    table, generator, tmp_path, monkeypatch
):
    monkeypatch.setattr("exporters.publish.MAX_NODES", 10)
    phases = []
    with pytest.raises(Problem) as refused:
        publish(generator, Schema((table.schema,)), tmp_path / "x", phase=phases.append)
    assert refused.value.reason == "LIMIT_EXCEEDED"
    assert phases == ["exporting"]
