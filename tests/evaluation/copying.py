"""Generators for tests of privacy: honest ones, and one that copies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from evaluators.case import Case, Evaluator
from evaluators.results import Metric
from tables.tableset import Table, TableSet
from tests.evaluation.cases import joined, rows_of, split, tables


def thirds(table: Table, rows: int, seed: int) -> tuple[TableSet, TableSet, TableSet]:
    """Training rows, hold-out, and as many others of different patients: a generator without fault."""
    rng = np.random.default_rng(seed)
    some = table.take(np.sort(rng.permutation(table.num_rows)[:rows]))
    first = split(some, 1 / 3, salt=f"holdout {seed}")
    second = split(first.train.single(), 0.5, salt=f"others {seed}")
    return second.train, first.holdout, second.holdout


def only(table: Table, names: Sequence[str]) -> Table:
    """Those columns."""
    schema = replace(table.schema, columns=tuple(table.schema.column(name) for name in names))
    return Table(schema, {name: table.arrays[name] for name in names})


def independent(train: TableSet, rng: np.random.Generator) -> TableSet:
    """Every column drawn from its training cells, alone."""
    table = train.single()
    draws = {
        name: array.take(rng.integers(0, table.num_rows, table.num_rows))
        for name, array in table.arrays.items()
    }
    return tables(replace(table, arrays=draws))


def with_copies(train: TableSet, synthetic: TableSet, share: float, rng: np.random.Generator) -> TableSet:
    """Its first rows replaced by copies of training rows."""
    rows = synthetic.single().num_rows
    copied = int(share * rows)
    copies = rows_of(train, rng.choice(train.single().num_rows, copied))
    return joined(copies, rows_of(synthetic, np.arange(rows - copied)))


def metrics(parts: Iterable[Evaluator], case: Case) -> list[Metric]:
    """What the parts give, but for figures and what they left out."""
    return [found for part in parts for found in part.run(case) if isinstance(found, Metric)]


def headline(parts: Iterable[Evaluator], case: Case, name: str) -> Metric:
    """The one aggregated value of that name, of copies that against as many rows as were held out."""
    (found,) = [
        metric
        for metric in metrics(parts, case)
        if metric.name == name and metric.headline and "against" not in metric.detail
    ]
    return found
