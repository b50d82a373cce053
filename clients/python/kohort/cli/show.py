"""Answers as tables for people, or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from kohort.progress import figures, headline, steps
from kohort.resources import Capabilities, JobInfo, TrainerInfo, to_json
from kohort.schema import Column, Finding, Schema

# Answers go to stdout; what only a person wants goes to stderr.
# A pipe has no width that a table would have to be cut to.
out = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 1000)
err = Console(stderr=True, soft_wrap=True)

_MANY = 5  # findings of one reason that are told one by one


def write_json(value: Any) -> None:
    """One JSON value on a line of its own."""
    sys.stdout.write(json.dumps(to_json(value)) + "\n")
    sys.stdout.flush()


def show_table(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """A table."""
    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for position, name in enumerate(columns):
        # The first column holds what other commands take: never shortened.
        drawn.add_column(name, no_wrap=position == 0, overflow="fold")
    for row in rows:
        drawn.add_row(*("" if cell is None else _cell(cell) for cell in row))
    out.print(drawn)


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M")
    # Brackets of names must not be read as markup.
    return str(value).replace("[", r"\[")


def show_schema(schema: Schema) -> None:
    """The columns of every table and what is done with them."""
    for one in schema:
        key = f", one patient per {one.subject_key}" if one.subject_key else ""
        out.print(f"\nTable {_cell(one.name)}{_cell(key)}", highlight=False)
        show_table(
            ("column", "kind", "storage", "handling", "why", "unit"),
            (
                (c.name, c.kind.value, c.storage.value, _handled(c), c.handling_reason, c.unit)
                for c in one.columns
            ),
        )


def _handled(column: Column) -> str:
    return f"{column.handling.value}: {column.fake}" if column.fake else column.handling.value


def show_findings(findings: Iterable[Finding]) -> None:
    """What a person should look at; what is said of many columns in one line each."""
    grouped: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        grouped.setdefault((finding.reason, finding.table), []).append(finding)
    for (reason, table), group in grouped.items():
        if len(group) > _MANY and all(f.column for f in group):
            columns = ", ".join(f.column for f in group)
            said = {f.message for f in group}
            more = f": {said.pop()}" if len(said) == 1 else " (--json tells more of each)"
            line = f"! {reason} {table}, {len(group)} columns: {columns}{more}"
            err.print(line, markup=False, highlight=False)
            continue
        for finding in group:
            where = ".".join(part for part in (table, finding.column) if part)
            line = f"! {reason}{f' {where}' if where else ''}: {finding.message}"
            err.print(line, markup=False, highlight=False)


def show_job(job: JobInfo) -> None:
    """A job in a few lines."""
    line = f"{job.name}: {headline(job)} {steps(job)} {figures(job)}".rstrip()
    out.print(line, markup=False, highlight=False)
    if job.error is not None:
        column = f" (column {job.error.column})" if job.error.column else ""
        out.print(f"{job.error.reason}{column}: {job.error.message}", markup=False, highlight=False)
    if job.model:
        out.print(f"model: {job.model}", markup=False, highlight=False)
    if job.report:
        out.print(f"report: {job.report}", markup=False, highlight=False)


def show_capabilities(found: Capabilities) -> None:
    """What the server can do."""
    roles = ", ".join(found.roles) or "no roles"
    out.print(f"Kohort {found.server_version}, API {found.api_version}; you are {found.tenant} with {roles}")
    for trainer in found.trainers:
        default = " (default)" if trainer.name == found.default_trainer else ""
        out.print(f"\n{trainer.name}{default}: {trainer.description}", markup=False, highlight=False)
        out.print(_abilities(trainer), markup=False, highlight=False)
        if trainer.licence_note:
            out.print(f"Licence: {trainer.licence_note}", markup=False, highlight=False)
        if trainer.parameters:
            show_table(
                ("parameter", "type", "default", "range", "what it does"),
                ((p.name, p.type, p.default, _range(p), p.description) for p in trainer.parameters),
            )
    out.print("\nDevices", highlight=False)
    slots = ((d.name, d.kind, "yes" if d.available else "no") for d in found.devices)
    show_table(("slot", "kind", "worker"), slots)
    if found.signing_key:
        out.print(f"\nSigning key of its bundles: {found.signing_key}", markup=False, highlight=False)
    limits = to_json(found.limits)
    out.print("\nLimits", highlight=False)
    show_table(
        ("limit", "value"), ((name.removeprefix("max_"), f"{value:,}") for name, value in limits.items())
    )


def _abilities(trainer: TrainerInfo) -> str:
    ways = sorted(set(trainer.conditions.values()))
    said = [f"Conditions: {', '.join(ways) or 'none'}"]
    said += ["completes rows"] * trainer.imputation + ["takes temperature and top-p"] * trainer.temperature
    return "; ".join(said)


def _range(parameter: Any) -> str:
    if parameter.choices:
        return " | ".join(parameter.choices)
    low, high = parameter.minimum, parameter.maximum
    if low is None and high is None:
        return ""
    return f"{'' if low is None else f'{low:g}'} … {'' if high is None else f'{high:g}'}".strip()
