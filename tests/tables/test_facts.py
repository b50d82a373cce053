"""Facts of columns that inference meets seldom: days of other forms, lists of codes."""

import numpy as np
import pytest

from kohort.columns import Array
from kohort.schema import Column, Kind, Storage, TableSchema
from tables.infer import infer
from tables.tableset import Table, TableSet


def inferred(array):
    column = Column("a", storage=array.storage)
    return infer(TableSet({"t": Table(TableSchema("t", (column,)), {"a": array})}))


@pytest.mark.parametrize(
    ("form", "told"), [("{:02}/03/20{:02}", True), ("{}.3.{:02}", True), ("x{}-{}", False)]
)
def test_days_that_are_no_iso_dates_are_dropped_with_the_form_that_is_read(form, told):
    texts = [form.format(day, year) for day in range(1, 29) for year in range(10, 20)]
    (finding,) = [f for f in inferred(Array.make(Storage.STRING, texts)).findings if f.column == "a"]
    assert finding.reason == "NEARLY_UNIQUE"
    assert ("YYYY-MM-DD" in finding.message) is told


def test_lists_of_codes_are_told_from_each_other_as_wholes():
    offsets = np.arange(0, 402, 2)
    array = Array.make(Storage.STRING_LIST, np.tile([0, 1], 200), None, ("a", "b"), offsets)
    column = inferred(array).schema.tables[0].columns[0]
    assert (column.kind, column.storage) == (Kind.CODE_LIST, Storage.STRING_LIST)
