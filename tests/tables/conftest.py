from __future__ import annotations

from pathlib import Path

import pytest

from kohort.schema import Schema
from tables.identifiers import check_trainable
from tables.infer import infer, physicalise_all
from tables.readers import read_file
from tables.tableset import TableSet

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture
def data():
    """The folder of real tables."""
    return DATA


@pytest.fixture
def read(tmp_path):
    """Reads bytes as a file of some format."""

    def run(content, format="csv", declared=None, **options):
        path = tmp_path / "upload"
        path.write_bytes(content)
        return read_file(path, format, "t", declared, **options)

    return run


@pytest.fixture
def take_in(read):
    """All that happens between a file and training: read, infer, store as inferred, check."""

    def run(content, format="csv", declared=None, overrides=None, **options):
        raw = TableSet({"t": read(content, format, declared, **options)})
        inferred = infer(raw, None if declared is None else Schema((declared,)), overrides)
        tables = physicalise_all(raw, inferred.schema)
        check_trainable(inferred)
        return tables

    return run
