"""Columns that look like direct identifiers, by name, by the shape of their cells and by check digits.

After the eighteen identifiers of HIPAA Safe Harbor, 45 CFR 164.514(b)(2)(i).
What is found here is likely, not certain, and what is not found may still
identify somebody: a person decides.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kohort.fakes import supported
from kohort.problem import Problem, Violation
from kohort.schema import Column, Handling, Kind, Storage
from tables import names
from tables.detectors import Detector
from tables.facts import Facts
from tables.national_numbers import OTHERS
from tables.safe_harbor import NUMBERS, PEOPLE, PLACES_AND_DATES

if TYPE_CHECKING:
    from tables.infer import Inferred

DETECTORS: tuple[Detector, ...] = (*NUMBERS, *PEOPLE, *PLACES_AND_DATES, *OTHERS)
"""The first whose name tells decides, else the first whose shape tells, those with check digits before."""

AGE = 89
"""Safe Harbor leaves ages up to here; above they are one group."""

_SHARE = 0.5
_CHECKED = 0.95
# One in eleven numbers holds a check digit by chance: fifty never do by chance.
_LEAST = 50
_LEAST_LETTERED = 10
_MOST = 20_000
_MOST_CHECKED = 1_000
_LONG = 10**6
_NUMERIC = (Storage.INT64, Storage.DOUBLE, Storage.DECIMAL)
_BY_NAME = tuple((d, re.compile(d.name)) for d in DETECTORS if d.name)
# Check digits tell better than a shape alone does.
_BY_SHAPE = sorted((d for d in DETECTORS if d.shape), key=lambda d: d.check is None)
_UNIQUE = DETECTORS[-1]
_AGED = re.compile(r"(^|_)ages?(_at_.*|_in_years|_years?)?$|^(anchor_age|alter|edad)$")
_CLOCK = re.compile(r"(^|_)(time|times|epoch|timestamp|stamp|ts|unix|utc|date|ms|seconds?)(_|$)")


def identify(name: str, facts: Facts) -> Detector | None:
    """What a column of that name seems to hold, or None."""
    if not facts.present or facts.array.storage not in (*_NUMERIC, Storage.STRING):
        return None
    said = names.words(name)
    for detector, pattern in _BY_NAME:
        if pattern.search(said) and _may_name(detector, facts) and (not detector.rare or _is_rare(facts)):
            return detector
    texts, counts = _sample(facts)
    for detector in _BY_SHAPE:
        if _has_shape(detector, texts, counts, facts):
            return detector
    return _UNIQUE if _unique_numbers(said, facts) else None


def fake_for(detector: Detector, storage: Storage) -> str:
    """The kind of fakes that a detector's columns get in a storage, or "" where they are dropped."""
    if not detector.fake or supported(detector.fake, storage):
        return detector.fake
    return "number" if supported("number", storage) else ""


def coarser(column: Column, facts: Facts) -> str:
    """What Safe Harbor leaves of dates and ages that are learned as they are, for people; "" where all."""
    if column.kind in (Kind.DATE, Kind.DATETIME):
        return "Safe Harbor (class C) leaves only the year of dates of a person; learned to the day"
    unit = 10**column.scale if facts.array.storage is Storage.DECIMAL else 1
    aged = column.kind in (Kind.INTEGER, Kind.DECIMAL) and _AGED.search(names.words(column.name))
    if aged and facts.many_above(AGE * unit):
        return f"Safe Harbor (class C) leaves ages above {AGE} only as one group of {AGE + 1} or older"
    return ""


def check_trainable(inferred: Inferred) -> None:
    """Refuses what must not or cannot be trained on.

    Raises:
        Problem: IDENTIFIER_UNACKNOWLEDGED naming every column that is to be
            learned, looks like a direct identifier and is not acknowledged;
            NO_USABLE_COLUMNS when nothing is left.
    """
    suspects = inferred.unacknowledged
    if suspects:
        raise Problem(
            "IDENTIFIER_UNACKNOWLEDGED",
            f"{suspects[0].table}.{suspects[0].column} looks like a direct identifier",
            violations=[Violation(f"{f.table}.{f.column}", f.message) for f in suspects],
        )
    if not any(c.handling is Handling.MODEL for table in inferred.schema for c in table.columns):
        raise Problem("NO_USABLE_COLUMNS", "no column is left to learn from")


def _is_rare(facts: Facts) -> bool:
    return facts.shared < _SHARE


def _may_name(detector: Detector, facts: Facts) -> bool:
    if facts.array.storage is Storage.STRING or detector.fractions:
        return True
    counts_rows = facts.consecutive and int(facts.cells[0]) in (0, 1)
    return detector.numbers and facts.whole and not counts_rows


def _sample(facts: Facts) -> tuple[pa.StringArray, npt.NDArray[np.int64]]:
    """Distinct cells as texts [d] and cells per text [d]; whole numbers only where long enough to tell."""
    if facts.array.storage is Storage.STRING:
        used = np.flatnonzero(facts.counts)
        used = used[:: -(-used.size // _MOST)] if used.size else used
        texts = pc.utf8_trim_whitespace(pa.array([facts.texts[i] for i in used], pa.string()))
        return texts, facts.counts[used]
    empty = pa.array([], pa.string()), np.zeros(0, dtype=np.int64)
    if not facts.whole or facts.cells.size < _LEAST or facts.cells[0] < _LONG:
        return empty
    cells = facts.cells[:: -(-facts.cells.size // _MOST)]
    return pa.array([str(int(c)) for c in cells], pa.string()), np.ones(cells.size, dtype=np.int64)


def _has_shape(
    detector: Detector, texts: pa.StringArray, counts: npt.NDArray[np.int64], facts: Facts
) -> bool:
    if not len(texts) or (detector.check is None and facts.array.storage is not Storage.STRING):
        return False
    mask = pc.match_substring_regex(texts, detector.shape).to_numpy(zero_copy_only=False).astype(np.bool_)
    matched = int(mask.sum())
    if detector.check is None:
        # Many distinct ones tell, too, beside a mark for "unknown" that fills most cells.
        told = counts[mask].sum() >= _SHARE * counts.sum() or (matched >= _LEAST and 2 * matched >= mask.size)
        return bool(told) and (not detector.rare_shape or _is_rare(facts))
    chosen = texts.filter(pa.array(mask))
    lettered = bool(pc.any(pc.match_substring_regex(chosen.slice(0, 1), "[A-Z]")).as_py())
    if matched < max(_LEAST_LETTERED if lettered else _LEAST, _CHECKED * mask.size):
        return False
    some = chosen.take(pa.array(np.linspace(0, matched - 1, min(matched, _MOST_CHECKED)).astype(np.int64)))
    plain = [re.sub(r"[^A-Z0-9]", "", text) for text in some.to_pylist()]
    return sum(map(detector.check, plain)) >= _CHECKED * len(plain)


def _unique_numbers(said: str, facts: Facts) -> bool:
    """Whether the cells are whole numbers of one length of seven digits or more, hardly any twice."""
    if facts.array.storage is Storage.STRING or facts.present < _LEAST or not facts.whole:
        return False
    low, high = int(facts.cells[0]), int(facts.cells[-1])
    if low < _LONG or len(str(low)) != len(str(high)) or facts.distinct < 0.99 * facts.present:
        return False
    rounded = 2 * int((facts.cells % 10 == 0).sum()) > facts.cells.size  # as measurements are
    return not (rounded or names.is_counted(said) or _CLOCK.search(said))
