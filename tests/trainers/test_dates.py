"""Every model makes dates that agree with each other, and declared combinations, by construction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from exporters.export import export
from exporters.parity import check_parity
from kohort.constraints import holds
from kohort.rules import Combination, Order
from tables.infer import infer, physicalise
from tables.readers import read_file
from tables.tableset import TableSet
from trainers.encoding import anchor_of
from trainers.registry import trainers

ENCOUNTERS = Path(__file__).parent.parent / "data" / "synthea_encounters_excerpt.parquet"
DATES = (Order("birth_date", "visit_start_date"), Order("visit_start_date", "visit_end_date"))
PAIR = Combination(("gender", "visit_type"))


@pytest.fixture(scope="module")
def encounters():
    """Simulated encounters under some rules: dates and a few categories."""
    raw = read_file(ENCOUNTERS, "parquet", "encounters", None)
    schema = infer(TableSet({"encounters": raw})).schema.tables[0]
    table = physicalise(raw, schema)

    def build(*rules):
        kept = tuple(
            c
            for c in schema.columns
            if c.name.endswith("_date") or c.name in (*PAIR.columns, schema.subject_key)
        )
        arrays = {c.name: table.arrays[c.name] for c in kept}
        return replace(
            table, schema=replace(schema, columns=kept, primary_key=(), constraints=rules), arrays=arrays
        )

    return build


@pytest.mark.parametrize("name", sorted(set(trainers()) - {"auto", "dummy"}))
def test_dates_agree_and_the_graph_agrees_with_the_model(fit, draw, encounters, name):
    table = encounters(PAIR)
    generator = fit(name, table)
    told = {c.column: a.column for c in generator.encoding.columns if (a := anchor_of(c))}
    assert told["visit_end_date"] == "visit_start_date"
    check_parity(generator, export(generator, table.schema), rows=2_048)
    rows = draw(generator, 3_000)
    assert holds(DATES[1:], table.schema, rows).all()
    if "birth_date" in told:
        assert holds(DATES[:1], table.schema, rows).all()
    pairs = [set(zip(*(a[c].to_python() for c in PAIR.columns), strict=True)) for a in (rows, table.arrays)]
    assert pairs[0] <= pairs[1]
