"""What every row must meet: what its schema says, and what is known of people."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt

from evaluators.frame import Frame, Layout, View
from kohort.constraints import holds
from kohort.rules import Combination, Unique, columns_of, rule_name
from kohort.schema import Kind, TableSchema
from tables.names import words
from tables.statistics import distinct_rows, patients_per_code
from tables.tableset import Table

Mask = npt.NDArray[np.bool_]
_TIMES = (Kind.DATE, Kind.DATETIME)


@dataclass(frozen=True, eq=False)
class Rows:
    """The same rows as a frame and as a table."""

    frame: Frame
    table: Table


@dataclass(frozen=True, eq=False)
class Rule:
    """Something that rows break or meet. A row with null in one of the columns meets it."""

    name: str
    columns: tuple[str, ...]
    broken: Callable[[Rows], Mask]
    """Per row, [n]."""
    declared: bool = True
    """Whether the schema says so; else it follows from names and units, and real rows may not know it."""


def rules(schema: TableSchema, train: Rows, k: int) -> Iterator[Rule]:
    """Those of a schema, then those that follow from names and units.

    Args:
        schema: of the training rows.
        train: they say which combinations k patients have, and what columns without a unit are measured in.
        k: patients.
    """
    layout = train.frame.layout
    yield from _constraints(schema, train, k)
    yield from _declared(layout)
    yield from _ranges(layout, train)
    yield from _orders(layout)
    yield from _sexes(layout)


def _constraints(schema: TableSchema, train: Rows, k: int) -> Iterator[Rule]:
    for constraint in schema.constraints:
        names = columns_of(constraint)
        match constraint:
            case Unique():
                broken = _repeated(names)
            case Combination():
                broken = _unheard(names, train, k)
            case _:
                broken = _breaks(constraint, schema)
        yield Rule(rule_name(constraint), names, broken)


def _breaks(constraint: object, schema: TableSchema) -> Callable[[Rows], Mask]:
    return lambda rows: ~holds([constraint], schema, rows.table.arrays)  # type: ignore[list-item]


def _repeated(names: tuple[str, ...]) -> Callable[[Rows], Mask]:
    def broken(rows: Rows) -> Mask:
        codes = distinct_rows([rows.table.arrays[name] for name in names])[1]
        again = np.ones(codes.size, dtype=np.bool_)
        again[np.unique(codes, return_index=True)[1]] = False
        return again

    return broken


def _unheard(names: tuple[str, ...], train: Rows, k: int) -> Callable[[Rows], Mask]:
    known, codes = distinct_rows([train.table.arrays[name] for name in names])
    patients = patients_per_code(codes, train.frame.subjects, len(known))
    supported = {cells for cells, count in zip(known, patients.tolist(), strict=True) if count >= k}

    def broken(rows: Rows) -> Mask:
        found, own = distinct_rows([rows.table.arrays[name] for name in names])
        return np.array([cells not in supported for cells in found], dtype=np.bool_)[own]

    return broken


def _declared(layout: Layout) -> Iterator[Rule]:
    for view in layout:
        column = view.column
        if view.number and (column.minimum is not None or column.maximum is not None):
            # Bounds of times are in microseconds, those of dates in days, as the frame's are.
            unit = {Kind.DATETIME: 86_400e6, Kind.DURATION: 1e6}.get(column.kind, 1.0)
            low = -np.inf if column.minimum is None else column.minimum / unit
            high = np.inf if column.maximum is None else column.maximum / unit
            yield Rule("declared_bounds", (view.name,), outside(view.name, low, high))
        elif not view.number and column.levels:
            known = np.array([*(text in column.levels for text in view.levels), True], dtype=np.bool_)
            yield Rule("declared_levels", (view.name,), _unlisted(view.name, known))


def outside(name: str, low: float, high: float) -> Callable[[Rows], Mask]:
    """Whether a number lies beyond bounds, inclusive; null does not."""
    return lambda rows: (rows.frame[name] < low) | (rows.frame[name] > high)


def _unlisted(name: str, known: Mask) -> Callable[[Rows], Mask]:
    return lambda rows: ~known[rows.frame[name]]  # null, -1, finds the last


@dataclass(frozen=True)
class _Plausible:
    """Numbers of some name, per unit (UCUM) the bounds that no living person leaves."""

    name: str
    pattern: re.Pattern[str]
    bounds: Mapping[str, tuple[float, float]]


def _named(name: str, pattern: str, **bounds: tuple[float, float]) -> _Plausible:
    return _Plausible(name, re.compile(rf"(^|_)({pattern})($|_)"), bounds)


_RANGES = (
    _named("age", "age|alter", a=(0, 120), mo=(0, 1440), wk=(0, 6264), d=(0, 43_830)),
    _named("year_of_birth", "year_of_birth|birth_year|yob|geburtsjahr", a=(1850, 2100)),
    _named(
        "percentage", "percent|percentage|pct|prozent|spo_2|sp_o_2|sao_2|oxygen_saturation", **{"%": (0, 100)}
    ),
    _named("heart_rate", "heart_rate|heartrate|pulse(?!_pressure)|puls", **{"/min": (0, 350)}),
    _named("respiratory_rate", "respiratory_rate|resp_rate|atemfrequenz", **{"/min": (0, 150)}),
    _named(
        "temperature",
        "temperature|temp|temperatur|koerpertemperatur",
        **{"Cel": (20, 45), "[degF]": (68, 113), "K": (293, 318)},
    ),
    _named("systolic", "systolic|sbp|sysbp|systolisch", **{"mm[Hg]": (20, 350), "kPa": (2, 47)}),
    _named("diastolic", "diastolic|dbp|diabp|diastolisch", **{"mm[Hg]": (0, 250), "kPa": (0, 34)}),
    _named("body_mass_index", "bmi|body_mass_index", **{"kg/m2": (5, 100)}),
    _named("height", "height|stature|koerpergroesse", m=(0.15, 2.8), cm=(15, 280), **{"[in_i]": (6, 110)}),
    _named("weight", "weight|gewicht", kg=(0.2, 700), **{"[lb_av]": (0.4, 1550), "g": (200, 700_000)}),
    _named("not_negative", "count|number|num|los|length_of_stay|duration|visits|dose", **{"": (0, np.inf)}),
)
_RELATIVE = re.compile(r"(^|_)(change|diff|difference|delta|score|zscore|z|sds|offset|log|group|band)($|_)")
"""Names of what is measured against something, or grouped."""
_SPANS = {"months": "mo", "month": "mo", "weeks": "wk", "week": "wk", "days": "d", "day": "d"}


def _ranges(layout: Layout, train: Rows) -> Iterator[Rule]:
    for view in layout.numbers:
        text, unit = words(view.name), view.column.unit
        if view.column.kind not in (Kind.INTEGER, Kind.DECIMAL) or _RELATIVE.search(text):
            continue
        for plausible in _RANGES:
            if plausible.pattern.search(text) or (unit == "%" and plausible.name == "percentage"):
                found = _bounds(view, plausible, train)
                if found is not None:
                    yield Rule(f"plausible_{plausible.name}", (view.name,), outside(view.name, *found), False)
                break


def _bounds(view: View, plausible: _Plausible, train: Rows) -> tuple[float, float] | None:
    """Those of the unit; without one, of the first unit that fits the training rows."""
    if view.column.unit in plausible.bounds:
        return plausible.bounds[view.column.unit]
    spans = [_SPANS[word] for word in words(view.name).split("_") if word in _SPANS]
    if spans and spans[0] in plausible.bounds:
        return plausible.bounds[spans[0]]
    for low, high in plausible.bounds.values() if not view.column.unit else ():
        if outside(view.name, low, high)(train).mean() <= MOST_BROKEN:
            return low, high
    return None


MOST_BROKEN = 0.01
"""A rule that more real rows break is none of theirs, unless the schema says so."""

_STARTS = {"start", "begin", "admit", "admission", "admittime", "onset", "aufnahme", "beginn"}
_ENDS = {"end", "stop", "discharge", "dischtime", "finish", "entlassung", "ende"}
_BIRTH = re.compile(r"(^|_)(birth|birthdate|birthday|dob|geburt|geburtsdatum)($|_)")


def _orders(layout: Layout) -> Iterator[Rule]:
    times = [view for view in layout.numbers if view.column.kind in _TIMES]
    births = [view for view in times if _BIRTH.search(words(view.name))]
    for low, high in permutations(times, 2):
        if low in births and high not in births:
            yield _order("birth_first", low, high)
        elif _opens(low.name, high.name):
            yield _order("start_before_end", low, high)
    numbers = [view for view in layout.numbers if view not in times]
    for low, high in permutations(numbers, 2):
        a, b = words(low.name), words(high.name)
        if a != b and b in (_swapped(a, "diastolic", "systolic"), _swapped(a, "dbp", "sbp")):
            yield _order("diastolic_below_systolic", low, high)


def _swapped(text: str, word: str, other: str) -> str:
    return re.sub(rf"(^|_){word}($|_)", rf"\g<1>{other}\g<2>", text)


def _opens(low: str, high: str) -> bool:
    a, b = words(low).split("_"), words(high).split("_")
    start, end = _STARTS.intersection(a), _ENDS.intersection(b)
    return bool(start and end) and [w for w in a if w not in start] == [w for w in b if w not in end]


def _order(name: str, low: View, high: View) -> Rule:
    # A date beside a time is compared by its day.
    whole = low.column.kind is not high.column.kind and low.column.kind in _TIMES

    def broken(rows: Rows) -> Mask:
        a, b = rows.frame[low.name], rows.frame[high.name]
        found: Mask = (np.floor(a) > np.floor(b)) if whole else (a > b)
        return found

    return Rule(name, (low.name, high.name), broken, False)


_SEX = re.compile(r"^(patient_|subject_|person_)?(sex|gender|geschlecht)($|_)")
_MALE = {"m", "male", "man", "männlich", "maennlich", "8507"}
_FEMALE = {"f", "w", "female", "woman", "weiblich", "8532"}
_OF_WOMEN = re.compile(r"(^|_)(pregnan|gravid|schwanger|menopaus|hysterectom|gestational_diabetes)")
_OF_MEN = re.compile(r"(^|_)(prostat|testicul)")
_YES = {"true", "yes", "y", "1", "positive", "present", "ja", "j", "pregnant"}


def _sexes(layout: Layout) -> Iterator[Rule]:
    for sex in layout.categories:
        if not _SEX.search(words(sex.name)):
            continue
        for view in layout:
            for pattern, name, others in (
                (_OF_WOMEN, "pregnancy_of_women", _MALE),
                (_OF_MEN, "prostate_of_men", _FEMALE),
            ):
                if view is not sex and pattern.search(words(view.name)):
                    yield Rule(name, (sex.name, view.name), _impossible(sex, others, view), False)


def _impossible(sex: View, others: set[str], view: View) -> Callable[[Rows], Mask]:
    wrong = np.array([*(text.lower() in others for text in sex.levels), False], dtype=np.bool_)
    yes = np.array([*(text.lower() in _YES for text in view.levels), False], dtype=np.bool_)

    def broken(rows: Rows) -> Mask:
        cells = rows.frame[view.name]
        found: Mask = wrong[rows.frame[sex.name]] & (cells > 0 if view.number else yes[cells])
        return found

    return broken
