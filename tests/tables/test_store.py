from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kohort.columns import Array
from kohort.problem import Problem
from kohort.schema import Column, Storage, TableSchema
from tables.infer import infer, physicalise_all
from tables.store import read_schema, read_tableset, tableset_digest, write_tableset
from tables.tableset import Table, TableSet

_INT64 = st.integers(-(2**63), 2**63 - 1)
_CELLS = {
    Storage.BOOL: st.booleans(),
    Storage.INT64: _INT64,
    Storage.DOUBLE: st.floats(allow_nan=False),
    Storage.DECIMAL: _INT64,
    Storage.STRING: st.text(st.characters(codec="utf-8"), max_size=5),
    Storage.DATE: st.integers(-(2**31), 2**31 - 1),
    Storage.DATETIME: _INT64,
    Storage.DURATION: _INT64,
}


@st.composite
def arrays(draw, rows):
    storage = draw(st.sampled_from([*_CELLS, Storage.STRING_LIST]))
    valid = draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    if storage is Storage.STRING_LIST:
        lengths = draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows))
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        codes = draw(st.lists(st.integers(0, 2), min_size=int(offsets[-1]), max_size=int(offsets[-1])))
        return Array.make(storage, np.array(codes, dtype=np.int64), valid, ["x", "", "é"], offsets)
    cells = draw(st.lists(_CELLS[storage], min_size=rows, max_size=rows))
    values = cells if storage is Storage.STRING else np.array(cells, dtype=storage.dtype)
    return Array.make(storage, values, valid)


@st.composite
def tablesets(draw):
    tables = {}
    for name in draw(st.lists(st.sampled_from(["t", "..", "a.b", "T"]), min_size=1, max_size=3, unique=True)):
        columns = draw(st.integers(1, 12).flatmap(lambda n: st.lists(arrays(n), min_size=1, max_size=4)))
        named = {f"c{i}": array for i, array in enumerate(columns)}
        schema = TableSchema(name, tuple(Column(n, storage=a.storage) for n, a in named.items()))
        tables[name] = Table(schema, named)
    return TableSet(tables)


def cells(tables):
    return {t.schema.name: {n: a.to_python() for n, a in t.arrays.items()} for t in tables}


@given(tables=tablesets())
def test_what_is_written_is_read(tables, tmp_path_factory):
    folder = tmp_path_factory.mktemp("store") / "made"
    write_tableset(folder, tables)
    again = read_tableset(folder)
    assert again.schema == tables.schema
    assert cells(again) == cells(tables)
    assert tableset_digest(again) == tableset_digest(tables)
    assert {path.parent for path in folder.rglob("*")} == {folder}


def test_the_digest_is_that_of_the_content_and_not_of_the_file(read, data):
    content = (data / "diabetes_130us_excerpt.csv").read_bytes()
    out = io.BytesIO()
    pd.read_csv(io.BytesIO(content), keep_default_na=False, na_values=[""]).to_parquet(out, row_group_size=50)
    digests = set()
    for raw in (read(content), read(content.replace(b"\n", b"\r\n")), read(out.getvalue(), "parquet")):
        tables = TableSet({"t": raw})
        stored = physicalise_all(tables, infer(tables).schema)
        digests.add(tableset_digest(stored))
    assert len(digests) == 1


@pytest.mark.parametrize("change", ["cell", "null", "order", "schema", "name"])
def test_the_digest_tells_any_change(change):
    def tables(values=("x", "y"), valid=(True, True), **column):
        array = Array.make(Storage.STRING, list(values), list(valid))
        name = column.pop("name", "a")
        return TableSet(
            {"t": Table(TableSchema("t", (Column(name, storage=Storage.STRING, **column),)), {name: array})}
        )

    other = {
        "cell": tables(("x", "z")),
        "null": tables(("x", "y"), (True, False)),
        "order": tables(("y", "x")),
        "schema": tables(vocabulary="ICD-10-CM"),
        "name": tables(name="b"),
    }[change]
    assert tableset_digest(tables()) != tableset_digest(other)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "schema.json").unlink(),
        lambda folder: (folder / "schema.json").write_text("{"),
        lambda folder: (folder / "schema.json").write_text('{"format": 99, "schema": {"tables": []}}'),
        lambda folder: (folder / "table-0000.arrow").unlink(),
        lambda folder: (folder / "table-0000.arrow").write_bytes(b"ARROW1"),
    ],
)
def test_half_a_table_set_is_none(damage, tmp_path):
    schema = TableSchema("t", (Column("a", storage=Storage.INT64),))
    write_tableset(tmp_path, TableSet({"t": Table(schema, {"a": Array.make(Storage.INT64, [1])})}))
    assert read_schema(tmp_path).tables == (schema,)
    damage(tmp_path)
    with pytest.raises(Problem, match="FILE_MALFORMED"):
        read_tableset(tmp_path)
