"""The manifest of a bundle: everything that is known of a generator besides its graphs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from kohort.constraints import check_constraints
from kohort.problem import Problem
from kohort.schema import Column, Finding, Handling, Kind, Schema, Storage, TableRole, TableSchema

FORMAT = 1
_COLUMN_TYPES: Mapping[str, tuple[type, ...]] = {
    "kind": (Kind,),
    "storage": (Storage,),
    "handling": (Handling,),
    "nullable": (bool,),
    "scale": (int,),
    "levels": (tuple,),
    "minimum": (int, float, type(None)),
    "maximum": (int, float, type(None)),
}
_PRIVACY_TYPES: Mapping[str, tuple[type, ...]] = {
    "differentially_private": (bool,),
    "epsilon": (int, float, type(None)),
    "delta": (int, float, type(None)),
    "min_patients_per_value": (int, type(None)),
    "statement": (str,),
}
_MAPPINGS = ("parameters", "program", "files", "dictionaries", "privacy", "lineage")


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` says."""

    schema: Schema
    """The whole effective schema, dropped columns included."""
    trainer: str
    parameters: Mapping[str, Any]
    seed: int
    program: Mapping[str, Any]
    """At least `name` and `version`; the rest belongs to the program."""
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Per file of the bundle (manifest and signature left out) `sha256` (hex) and `size`."""
    dictionaries: Mapping[str, Mapping[str, list[str]]] = field(default_factory=dict)
    """Strings by table and column."""
    privacy: Mapping[str, Any] = field(default_factory=dict)
    """differentially_private, epsilon, delta, min_patients_per_value, statement."""
    findings: tuple[Finding, ...] = ()
    lineage: Mapping[str, Any] = field(default_factory=dict)
    """Where it comes from: dataset, its digest, job, attempt, time, versions. Not part of the content."""
    format: int = FORMAT

    @cached_property
    def content_digest(self) -> bytes:
        """SHA-256 over what the generator does: no lineage, no time, no card. 32 bytes."""
        content = self.to_json()
        del content["lineage"]
        content["files"] = {n: f for n, f in self.files.items() if n.startswith("graphs/")}
        return hashlib.sha256(canonical_json(content)).digest()

    @property
    def program_name(self) -> str:
        """Such as "single_pass/1"."""
        return f"{self.program['name']}/{self.program['version']}"

    def strings(self, table: str, column: str) -> tuple[str, ...]:
        """The dictionary of a column. Raises Problem BUNDLE_INVALID when there is none."""
        try:
            return tuple(self.dictionaries[table][column])
        except KeyError:
            raise invalid("manifest.dictionaries", "a column of strings has no dictionary") from None

    def to_json(self) -> dict[str, Any]:
        """A JSON value."""
        return {
            "format": self.format,
            "schema": self.schema.to_json(),
            "trainer": self.trainer,
            "parameters": dict(self.parameters),
            "seed": self.seed,
            "program": dict(self.program),
            "files": {name: dict(entry) for name, entry in self.files.items()},
            "dictionaries": {
                table: {column: list(strings) for column, strings in columns.items()}
                for table, columns in self.dictionaries.items()
            },
            "privacy": dict(self.privacy),
            "findings": [finding.to_json() for finding in self.findings],
            "lineage": dict(self.lineage),
        }

    def to_bytes(self) -> bytes:
        """The bytes of `manifest.json`: equal manifests give equal bytes."""
        return canonical_json(self.to_json()) + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """The inverse of `to_bytes`, distrustful.

        Raises:
            Problem: BUNDLE_INVALID when the bytes are not of the documented shape.
        """
        try:
            value = json.loads(data, parse_constant=_no_constant, parse_int=_whole)
            # What cannot be written again (1e999, half a surrogate pair) would fail later and elsewhere.
            canonical_json(value)
        except (ValueError, RecursionError):
            raise invalid("manifest", "is no JSON") from None
        if not isinstance(value, dict):
            raise invalid("manifest", "is no JSON object")
        if value.get("format") != FORMAT:
            raise invalid("manifest.format", f"this runtime reads format {FORMAT} only")
        for name in _MAPPINGS:
            if not isinstance(value.get(name), dict):
                raise invalid(f"manifest.{name}", "is no object")
        _check_program(value["program"])
        _check_files(value["files"])
        _check_dictionaries(value["dictionaries"])
        _check_privacy(value["privacy"])
        seed = value.get("seed")
        if type(seed) is not int or not -(1 << 63) <= seed < 1 << 63:
            raise invalid("manifest.seed", "is no 64-bit integer")
        if not isinstance(value.get("trainer"), str):
            raise invalid("manifest.trainer", "is no string")
        return cls(
            schema=_schema(value.get("schema")),
            findings=_findings(value.get("findings")),
            **{name: value[name] for name in ("trainer", "seed", "format", *_MAPPINGS)},
        )


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no spaces, UTF-8; numbers as Python writes them, all finite."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def invalid(where: str, what: str) -> Problem:
    """A Problem BUNDLE_INVALID at one field."""
    return Problem.at("BUNDLE_INVALID", where, what)


def _no_constant(_: str) -> Any:
    raise ValueError


def _whole(digits: str) -> int:
    if len(digits) > 20:  # beyond any 64-bit integer, and so beyond every message
        raise ValueError
    return int(digits)


def _check_program(program: dict[str, Any]) -> None:
    name, version = program.get("name"), program.get("version")
    if not isinstance(name, str) or not name.isidentifier() or type(version) is not int:
        raise invalid("manifest.program", "has no name and version")


def _check_files(files: dict[str, Any]) -> None:
    for entry in files.values():
        if not isinstance(entry, dict) or type(entry.get("size")) is not int:
            raise invalid("manifest.files", "an entry has no size")
        if not isinstance(entry.get("sha256"), str) or len(entry["sha256"]) != 64:
            raise invalid("manifest.files", "an entry has no digest")


def _check_dictionaries(dictionaries: dict[str, Any]) -> None:
    for columns in dictionaries.values():
        if not isinstance(columns, dict):
            raise invalid("manifest.dictionaries", "is not of the documented shape")
        for strings in columns.values():
            if not isinstance(strings, list) or not all(isinstance(s, str) for s in strings):
                raise invalid("manifest.dictionaries", "a dictionary is no list of strings")
            if len(set(strings)) != len(strings):
                raise invalid("manifest.dictionaries", "a dictionary holds a string twice")


def _check_privacy(privacy: dict[str, Any]) -> None:
    for name, allowed in _PRIVACY_TYPES.items():
        if name in privacy and type(privacy[name]) not in allowed:
            raise invalid("manifest.privacy", "is not of the documented shape")
    if not 0 <= (privacy.get("min_patients_per_value") or 0) < 1 << 31:
        raise invalid("manifest.privacy", "is not of the documented shape")


def _schema(value: Any) -> Schema:
    try:
        schema = Schema.from_json(value)
    except Problem:
        raise invalid("manifest.schema", "is not of the documented shape") from None
    names = [table.name for table in schema]
    if not names or len(set(names)) != len(names):
        raise invalid("manifest.schema", "table names are missing or repeated")
    for table in schema:
        _check_table(table)
    return schema


def _check_table(table: TableSchema) -> None:
    names = [column.name for column in table.columns]
    keys = [name for key in table.foreign_keys for name in (key.table, *key.columns, *key.referenced_columns)]
    strings = (table.name, table.subject_key, table.time_column, *table.primary_key, *keys, *names)
    if (
        not all(isinstance(s, str) for s in strings)
        or not table.name
        or not isinstance(table.role, TableRole)
    ):
        raise invalid("manifest.schema", "a table is not of the documented shape")
    if len(set(names)) != len(names) or not table.emitted:
        raise invalid("manifest.schema", "columns are repeated, or none is emitted")
    for column in table.columns:
        _check_column(column)
    try:
        check_constraints(table)
    except Problem:
        raise invalid("manifest.schema", "a constraint does not fit its columns") from None


def _check_column(column: Column) -> None:
    for entry in fields(Column):
        value = getattr(column, entry.name)
        types = _COLUMN_TYPES.get(entry.name, (str,))
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise invalid("manifest.schema", "a column is not of the documented shape")
    if not all(isinstance(level, str) for level in column.levels) or not 0 <= column.scale <= 12:
        raise invalid("manifest.schema", "a column is not of the documented shape")
    if not 0 < len(column.name) <= 256 or not column.name.isprintable():
        raise invalid("manifest.schema", "a column has no usable name")
    if column.storage is Storage.UNSPECIFIED and column.handling is not Handling.DROP:
        raise invalid("manifest.schema", "an emitted column has no storage")


def _findings(value: Any) -> tuple[Finding, ...]:
    if not isinstance(value, list):
        raise invalid("manifest.findings", "is no list")
    try:
        findings = tuple(Finding(**entry) for entry in value)
    except TypeError:
        raise invalid("manifest.findings", "is not of the documented shape") from None
    if not all(isinstance(v, str) for f in findings for v in f.to_json().values()):
        raise invalid("manifest.findings", "is not of the documented shape")
    return findings
