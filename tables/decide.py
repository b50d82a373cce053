"""What one column means and what training does with it, where nobody declared it as a person would say."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kohort.fakes import supported
from kohort.problem import Problem
from kohort.schema import Column, Finding, Handling, Kind, Storage
from tables import names
from tables.codes import vocabulary
from tables.detectors import Detector
from tables.facts import Facts
from tables.identifiers import coarser, fake_for, identify

FEW = 20
"""At most so many distinct whole numbers may be labels."""

_MANY_LABELS = 1_000
_WELL_SHARED = 0.95
_HARDLY_SHARED = 0.5
_BARELY_SHARED = 0.01
_PROSE = 4.0
_BY_STORAGE = {
    Storage.BOOL: Kind.BOOLEAN,
    Storage.DATE: Kind.DATE,
    Storage.DATETIME: Kind.DATETIME,
    Storage.DURATION: Kind.DURATION,
    Storage.STRING_LIST: Kind.CODE_LIST,
}
_LABELS = (Kind.BOOLEAN, Kind.CATEGORY, Kind.CODE, Kind.ORDINAL)
_NEVER_TRAINED = (Kind.ID, Kind.TEXT)
_SUSPECTED = ("DIRECT_IDENTIFIER", "IDENTIFIER_REGENERATED", "IDENTIFIER_UNACKNOWLEDGED")
_SERVER_REASONS = (*_SUSPECTED, "FREE_TEXT", "ALL_NULL", "NEARLY_UNIQUE", "KEY_REGENERATED")


@dataclass(frozen=True)
class Declared:
    """A column as declared and overridden, and what is said of it elsewhere."""

    column: Column
    is_key: bool
    """Whether it is the subject key or a primary key of one column."""
    acknowledged: bool
    """Whether a person said that it identifies nobody."""

    @property
    def handling(self) -> Handling:
        """What was asked for; a decision of an earlier inference counts as nothing asked."""
        if self.column.handling_reason == "IDENTIFIER_UNACKNOWLEDGED":
            return Handling.MODEL
        decided = self.column.handling_reason in _SERVER_REASONS
        return Handling.UNSPECIFIED if decided else self.column.handling

    @property
    def fake(self) -> str:
        """The fakes that were asked for."""
        return "" if self.column.handling_reason in _SERVER_REASONS else self.column.fake


@dataclass(frozen=True)
class _Fate:
    """What training does with a column."""

    handling: Handling
    reason: str = ""
    """Why, where the server decided."""
    fake: str = ""
    finding: tuple[str, str] | None = None
    """What a person should know: the reason and the message."""

    @classmethod
    def decided(cls, handling: Handling, reason: str, message: str) -> _Fate:
        """A decision of the server, of which a person should know."""
        return cls(handling, reason, finding=(reason, message))


def decide(table: str, declared: Declared, facts: Facts) -> tuple[Column, Finding | None]:
    """The complete column and what a person should know of it.

    Raises:
        Problem: INVALID_SCHEMA when keys or free text are to be learned, or a
            kind cannot be had from the cells.
    """
    column = declared.column
    kind = column.kind
    if kind is Kind.UNSPECIFIED:
        kind = Kind.ID if declared.is_key else _kind(column, facts)
    field = f"{table}.{column.name}"
    storage, scale = _storage(field, kind, column, facts)
    code_system = column.vocabulary
    if kind is Kind.CODE and not code_system:
        code_system = _vocabulary(column.name, facts)
    done = replace(
        column,
        kind=kind,
        storage=storage,
        scale=scale,
        nullable=facts.present < facts.rows,
        time_zone=(column.time_zone or "UTC" * facts.zoned) if storage is Storage.DATETIME else "",
        vocabulary=code_system,
    )
    fate = _fate(field, done, declared, facts)
    finding = Finding(*fate.finding, table, column.name) if fate.finding else None
    return replace(done, handling=fate.handling, handling_reason=fate.reason, fake=fate.fake), finding


def _kind(column: Column, facts: Facts) -> Kind:
    storage = facts.array.storage
    if storage in _BY_STORAGE:
        return _BY_STORAGE[storage]
    if storage is Storage.STRING:
        return _kind_of_texts(column, facts)
    if not facts.present:
        return Kind.DECIMAL
    return _kind_of_whole_numbers(column.name, facts) if facts.whole else Kind.DECIMAL


def _kind_of_texts(column: Column, facts: Facts) -> Kind:
    if not facts.present:
        return Kind.CATEGORY
    if facts.temporal is not None:
        return _BY_STORAGE[facts.temporal]
    if _is_key(column.name, facts) or (facts.keyed and 2 * facts.distinct >= facts.present):
        return Kind.ID
    if facts.words_per_cell >= _PROSE and facts.shared < _HARDLY_SHARED:
        return Kind.TEXT
    if column.vocabulary or _vocabulary(column.name, facts):
        return Kind.CODE
    return Kind.CATEGORY


def _kind_of_whole_numbers(name: str, facts: Facts) -> Kind:
    if names.is_concept(name) and not facts.unique:
        return Kind.CODE
    if _is_key(name, facts):
        return Kind.ID
    if facts.distinct <= 2:
        return Kind.CATEGORY
    if names.is_counted(name):
        return Kind.INTEGER
    labelled = names.is_coded(name) or (facts.long and facts.rows >= FEW * facts.distinct)
    if labelled and facts.distinct <= _MANY_LABELS and facts.shared >= _HARDLY_SHARED:
        return Kind.CATEGORY
    if facts.distinct <= FEW and facts.shared >= _WELL_SHARED:
        return Kind.CATEGORY
    return Kind.INTEGER


def _is_key(name: str, facts: Facts) -> bool:
    many = facts.distinct >= FEW or 2 * facts.distinct >= facts.present > 1
    if many and (names.is_patient_key(name) or names.is_record_key(name)):
        return True
    if names.is_key(name):
        return 2 * facts.distinct >= facts.present > 1 or facts.distinct > _MANY_LABELS
    return facts.array.storage is not Storage.STRING and facts.consecutive


def _vocabulary(name: str, facts: Facts) -> str:
    if facts.array.storage is Storage.STRING:
        return vocabulary(name, facts.texts, facts.counts)
    return "OMOP" if names.is_concept(name) else ""


def _storage(field: str, kind: Kind, column: Column, facts: Facts) -> tuple[Storage, int]:
    """The storage of a kind, given the cells as they came; and digits after the point."""
    have = facts.array.storage
    numeric = have in (Storage.INT64, Storage.DOUBLE, Storage.DECIMAL)
    match kind:
        case Kind.BOOLEAN:
            return Storage.BOOL, 0
        case Kind.INTEGER:
            return Storage.INT64, 0
        case Kind.DECIMAL:
            return _decimal(column, facts)
        case Kind.DATE:
            return Storage.DATE, 0
        case Kind.DATETIME:
            return Storage.DATETIME, 0
        case Kind.DURATION:
            return Storage.DURATION, 0
        case Kind.TEXT:
            return Storage.STRING, 0
        case Kind.CODE_LIST:
            return Storage.STRING_LIST, 0
        case Kind.ID if have is Storage.DECIMAL and not (facts.cells % 10**column.scale).any():
            return Storage.INT64, 0
        case _ if have is Storage.DOUBLE and (facts.whole or not facts.present):
            return Storage.INT64, 0
        case _ if kind is Kind.CODE and not (numeric and facts.whole):
            return Storage.STRING, 0
        case _ if have is Storage.DOUBLE and facts.scale is None:
            raise Problem.at(
                "INVALID_SCHEMA", field, f"binary floating-point numbers cannot be {kind.value} labels"
            )
        case _ if have in (Storage.DOUBLE, Storage.DECIMAL):
            return _decimal(column, facts)
        case _ if have is Storage.STRING_LIST:
            raise Problem.at("INVALID_SCHEMA", field, f"lists cannot be {kind.value} labels")
        case _:
            return have, 0


def _decimal(column: Column, facts: Facts) -> tuple[Storage, int]:
    match facts.array.storage:
        case Storage.DECIMAL:
            return Storage.DECIMAL, column.scale
        case Storage.DOUBLE if facts.present and column.scale == 0:
            return (Storage.DOUBLE, 0) if facts.scale is None else (Storage.DECIMAL, facts.scale)
        case Storage.STRING if column.scale == 0:
            return Storage.DOUBLE, 0
        case _:
            return Storage.DECIMAL, column.scale


def _fate(field: str, column: Column, declared: Declared, facts: Facts) -> _Fate:
    """What training does with the column."""
    asked = declared.handling
    fake = declared.fake
    if fake and asked is Handling.UNSPECIFIED:
        asked = Handling.REGENERATE
    if column.kind in _NEVER_TRAINED and asked is Handling.MODEL:
        raise Problem.at("INVALID_SCHEMA", field, f"columns of kind {column.kind.value} are never learned")
    if fake and asked is not Handling.REGENERATE:
        raise Problem.at("INVALID_SCHEMA", field, "fakes are for columns that are regenerated")
    if asked is Handling.DROP:
        return _Fate(asked)
    fresh = asked is Handling.REGENERATE or (column.kind is Kind.ID and facts.present > 0)
    if fresh and column.storage not in (Storage.INT64, Storage.STRING):
        said = "only whole numbers and texts can be keys or have fakes; drop the column"
        raise Problem.at("INVALID_SCHEMA", field, said)
    if not supported(fake or "key", column.storage) and fresh:
        raise Problem.at("INVALID_SCHEMA", field, "there are no such fakes for the storage of the column")
    found = None
    if not (declared.acknowledged or declared.is_key or (_is_declared(declared) and not fake)):
        found = identify(column.name, facts)
        if found is not None and found.letter == "R" and column.kind is Kind.ID and not found.name:
            found = None  # a key: fresh keys are emitted anyway
    if asked is Handling.REGENERATE:
        direct = None if found is None or found.learned else found
        fake = fake or (fake_for(direct, column.storage) if direct else "")
        return _Fate(asked, fake=fake, finding=_regenerated(fake, direct) if direct or fake else None)
    if found is not None and not found.learned:
        return _identifying(asked, found, column.storage)
    fate = _ordinary(asked, column, facts)
    if fate.handling is not Handling.MODEL or fate.finding is not None or declared.acknowledged:
        return fate
    if found is not None:
        coarse = (
            f"{found.what}: finer than Safe Harbor (class {found.letter}) leaves them; learned as they are"
        )
    else:
        coarse = coarser(column, facts)
    return replace(fate, finding=("QUASI_IDENTIFIER", coarse)) if coarse else fate


def _identifying(asked: Handling, found: Detector, storage: Storage) -> _Fate:
    """What becomes of a likely identifier that nobody declared or acknowledged."""
    looks = f"looks like {found.what} (Safe Harbor class {found.letter})"
    if asked is Handling.MODEL:
        return _Fate.decided(
            Handling.DROP, "IDENTIFIER_UNACKNOWLEDGED", f"{looks}: learned only when acknowledged"
        )
    fake = fake_for(found, storage)
    if not fake:
        return _Fate.decided(
            Handling.DROP, "DIRECT_IDENTIFIER", f"{looks}; dropped unless acknowledged as identifying nobody"
        )
    reason, message = _regenerated(fake, found)
    return _Fate(Handling.REGENERATE, reason, fake, (reason, message))


def _regenerated(fake: str, found: Detector | None) -> tuple[str, str]:
    looks = f"looks like {found.what} (Safe Harbor class {found.letter}); " if found else ""
    return "IDENTIFIER_REGENERATED", f"{looks}not learned, fresh fakes are emitted: {fake or 'key'}"


def _ordinary(asked: Handling, column: Column, facts: Facts) -> _Fate:
    """What becomes of a column that does not look like an identifier."""
    if not facts.present:
        return _Fate.decided(Handling.DROP, "ALL_NULL", "every cell is null; dropped")
    if column.kind is Kind.ID:
        return _Fate.decided(
            Handling.REGENERATE, "KEY_REGENERATED", "a key: not learned, fresh keys are emitted"
        )
    if column.kind is Kind.TEXT:
        return _Fate.decided(Handling.DROP, "FREE_TEXT", "free text is never learned; dropped")
    if asked is Handling.MODEL:
        return _Fate(asked, finding=_mixed(column, facts))
    if facts.sparse:
        return _Fate.decided(Handling.DROP, "NEARLY_UNIQUE", "too few patients have a value; dropped")
    least = _HARDLY_SHARED if column.storage is Storage.STRING else _BARELY_SHARED
    if column.kind in _LABELS and facts.shared < least:
        message = "most values belong to too few patients; dropped"
        if facts.array.storage is Storage.STRING and facts.local_dates:
            message += "; days are read as dates where they are written YYYY-MM-DD"
        elif facts.array.storage is Storage.STRING and facts.mixed:
            message += "; numbers and texts are mixed: numbers alone would be learned as such"
        return _Fate.decided(Handling.DROP, "NEARLY_UNIQUE", message)
    return _Fate(Handling.MODEL, finding=_mixed(column, facts))


def _mixed(column: Column, facts: Facts) -> tuple[str, str] | None:
    """What a person should know of numbers that are learned as labels beside texts."""
    if column.kind is not Kind.CATEGORY or facts.array.storage is not Storage.STRING:
        return None
    if facts.shared >= _WELL_SHARED or not facts.mixed:
        return None
    return (
        "RARE_VALUES_PROTECTED",
        "numbers and texts are mixed: learned as labels, of which those of few patients are lost",
    )


def _is_declared(declared: Declared) -> bool:
    """Whether the column was declared something that is never learned, by a person and not by a server."""
    return declared.column.kind in _NEVER_TRAINED and declared.column.handling_reason not in _SUSPECTED
