"""The model card of a bundle: what a person must know before using its rows."""

from __future__ import annotations

import json

from kohort.manifest import Manifest
from kohort.schema import Column, Handling, TableSchema

_DISCLAIMER = """\
Every row sampled from this model is synthetic: it describes no real patient, and it must not be used to
decide about one. Statistics of synthetic rows differ from those of the real table; check what you conclude
against real data before you act on it. Do not try to link rows to people."""

_SAMPLING = """\
```python
import kohort

rows = kohort.load("model.kohort").sample(1000, seed=1)
```

The same seed gives the same rows, on a laptop and from a server."""


def card_text(manifest: Manifest) -> str:
    """The card, Markdown. It names columns and counts and holds no value of any cell."""
    sections = [
        "# A generator of synthetic patients",
        _DISCLAIMER,
        _facts(manifest),
        "## Privacy\n\n" + _privacy(manifest),
        *(f"## Table {_inline(table.name)}\n\n{_table(table)}" for table in manifest.schema),
    ]
    if manifest.findings:
        sections.append("## What to know\n\n" + _findings(manifest))
    sections += [
        f"## Parameters\n\n```json\n{json.dumps(dict(manifest.parameters), indent=2, sort_keys=True)}\n```",
        "## Sampling\n\n" + _SAMPLING,
    ]
    return "\n\n".join(sections) + "\n"


def _facts(manifest: Manifest) -> str:
    facts = {
        "Trainer": manifest.trainer,
        "Seed of training": manifest.seed,
        "Program": manifest.program_name,
        "Arithmetic of the network": manifest.program.get("variant", "fp32"),
        "Unit": manifest.program.get("unit", "row"),
        **{f"Lineage: {key}": value for key, value in sorted(manifest.lineage.items())},
    }
    rows = [f"| {_inline(str(key))} | {_inline(_plain(value))} |" for key, value in facts.items()]
    return "\n".join(["| | |", "|---|---|", *rows])


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _privacy(manifest: Manifest) -> str:
    privacy = manifest.privacy
    if privacy.get("differentially_private"):
        promise = (
            f"Trained with differential privacy: ε = {privacy.get('epsilon')}, δ = {privacy.get('delta')}, "
            "for one patient more or less, by the accountant."
        )
    else:
        promise = (
            "**Trained without differential privacy.** No bound on what the model tells about one patient is "
            "proven. Treat the model as personal data."
        )
    parts = [promise]
    if privacy.get("min_patients_per_value"):
        parts.append(
            f"No category, spike or quantile point rests on fewer than {privacy['min_patients_per_value']} "
            "patients."
        )
    if privacy.get("statement"):
        parts.append(_inline(str(privacy["statement"])))
    return "\n\n".join(parts)


def _table(table: TableSchema) -> str:
    rows = [f"| {_inline(c.name)} | {c.kind} | {_handling(c)} |" for c in table.columns]
    return "\n".join(["| Column | Kind | In the sample |", "|---|---|---|", *rows])


def _handling(column: Column) -> str:
    reason = f" ({_inline(column.handling_reason)})" if column.handling_reason else ""
    match column.handling:
        case Handling.DROP:
            return f"left out{reason}"
        case Handling.REGENERATE:
            return f"fresh values{reason}"
        case _:
            return f"learned{', may be null' if column.nullable else ''}{reason}"


def _findings(manifest: Manifest) -> str:
    lines = []
    for finding in manifest.findings:
        where = ".".join(filter(None, (finding.table, finding.column)))
        place = f" ({_inline(where)})" if where else ""
        lines.append(f"- {_inline(finding.reason)}{place}: {_inline(finding.message)}")
    return "\n".join(lines)


def _inline(text: str) -> str:
    """Text that cannot break out of a line or a cell of a Markdown table, nor become HTML."""
    flat = " ".join(text.split())
    for sign in "\\`*_|[]<>":
        flat = flat.replace(sign, f"&#{ord(sign)};" if sign in "<>" else "\\" + sign)
    return flat
