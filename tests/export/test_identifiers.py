"""From a file full of identifiers to its samples: no real one is in the bundle, every row has fakes."""

from __future__ import annotations

import zipfile

import pytest

from exporters.publish import export_bundle
from kohort.bundle import read_bundle
from kohort.columns import Array
from kohort.fakes import fake_column
from kohort.programs import SampleSpec
from kohort.schema import Handling
from tables.infer import infer, physicalise_all
from tables.readers import read_file
from tables.tableset import TableSet
from tests.tables.zoo import ROWS, ZOO, zoo
from trainers.base import FitRequest, Hooks
from trainers.copula import CopulaTrainer


@pytest.fixture(scope="module")
def journey(tmp_path_factory):
    """The table as it was read, the schema that was inferred and the file of the model."""
    folder = tmp_path_factory.mktemp("zoo")
    (folder / "zoo.csv").write_bytes(zoo())
    read = TableSet({"t": read_file(folder / "zoo.csv", "csv", "t")})
    schema = infer(read).schema
    tables = physicalise_all(read, schema)
    generator = CopulaTrainer().fit(FitRequest(tables, TableSet({}), {}, seed=1, min_patients=5), Hooks())
    bundle = folder / "zoo.kohort"
    export_bundle(generator, schema, CopulaTrainer.info, {}, 1, {}, [], {"job": "jobs/1"}, bundle)
    return read.single(), schema.tables[0], bundle


def test_no_identifier_is_in_the_bundle(journey):
    table, _, bundle = journey
    with zipfile.ZipFile(bundle) as members:
        held = b"".join([bundle.read_bytes(), *map(members.read, members.namelist())])
    assert b"IDENTIFIER_REGENERATED" in held
    for name in ZOO:
        cells = {str(cell) for cell in table.arrays[name].to_python() if len(str(cell)) > 5}
        assert cells
        assert not [cell for cell in cells if cell.encode() in held], name


def test_samples_hold_fakes_and_no_identifier(journey):
    table, schema, bundle = journey
    program = read_bundle(bundle).program()
    batches = list(program.units(SampleSpec(seed=4), 0, 2 * ROWS))
    assert {c.name for c in program.schema.tables[0].columns} == {
        c.name for c in schema.columns if c.handling is not Handling.DROP
    }
    fresh = [c for c in schema.columns if c.handling is Handling.REGENERATE]
    assert len(fresh) > 20
    for column in fresh:
        cells = Array.concat([batch.arrays[column.name] for batch in batches]).to_python()
        assert cells == fake_column(column, 4, 0, 2 * ROWS).to_python()
        if column.fake != "ipv4":  # the zoo's addresses are for documentation, too
            assert not set(map(str, cells)) & set(map(str, table.arrays[column.name].to_python())), (
                column.name
            )
