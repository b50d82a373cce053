"""The report as one HTML page: no script, nothing from elsewhere, readable on paper and without sight.

Its content security policy forbids everything but its own style, by digest.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from evaluators.report.attacks import NAMES, Attacks, attacks
from evaluators.report.charts import draw
from evaluators.report.plot import Plot
from evaluators.report.svg import clean
from evaluators.report.svg import number as short
from evaluators.report.values import (
    Group,
    Matrix,
    Row,
    family,
    groups,
    headlines,
    matrices,
    number,
    number_of,
    title,
    whole,
)
from evaluators.report.verdict import badge

_HERE = Path(__file__).parent
_SECTIONS = (
    ("PRIVACY", "privacy", "Privacy", "What the rows tell of the patients behind them."),
    ("FIDELITY", "fidelity", "Fidelity", "Whether the rows look like real ones."),
    ("UTILITY", "utility", "Utility", "Whether one can work with the rows as with real ones."),
    (
        "FAIRNESS",
        "fairness",
        "Fairness",
        "Whether groups of patients fare alike, by real and by synthetic rows.",
    ),
)
_POLICY = (
    "default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
)
_TITLES = {
    "correlation": "Associations of columns",
    "marginal": "Columns one by one",
    "detection": "Telling synthetic rows from real ones",
    "tstr": "Predictions",
}
"""Of galleries, by the kind of figure; others by the kind itself."""
_SMALL, _SQUARE, _WIDE = 330, 440, 680
_MOST_SHOWN = 24
"""Small pictures of one kind before the rest is folded away."""
_MOST_POINTS = 40
_MOST_CELLS = 900


@dataclass(frozen=True)
class Picture:
    """A figure as the page shows it."""

    title: str
    drawings: list[Markup]
    heads: list[str]
    rows: list[list[str]]
    note: str = ""


@dataclass(frozen=True)
class Gallery:
    """Figures of one kind."""

    title: str
    size: str
    """"small", "square" or "wide"."""
    pictures: list[Picture]
    folded: list[Picture] = field(default_factory=list)


@dataclass(frozen=True)
class Section:
    """All of a family."""

    ident: str
    title: str
    lead: str
    attacks: Attacks | None
    rows: list[Row]
    absent: list[str]
    galleries: list[Gallery]
    matrices: list[Matrix]
    groups: list[Group]


def render(report: Mapping[str, Any]) -> str:
    """The page.

    Args:
        report: the JSON of a `Report` (`evaluators.reporting`); any part may be absent.
    """
    defined = {info["name"]: info for info in report.get("definitions", ())}
    metrics = list(report.get("metrics", ()))
    figures = list(report.get("figures", ()))
    style = (_HERE / "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return _template().render(
        style=Markup(style),  # noqa: S704 - our own file
        policy=_POLICY.format(digest=digest),
        title=clean(report.get("display_name") or report.get("name") or "Evaluation of synthetic rows"),
        facts=_facts(report),
        badge=badge(report, defined),
        sentences=[_unbroken(one) for one in report.get("summary", ())],
        limits=[_unbroken(one) for one in report.get("limits", ())],
        counts=_counts(report.get("counts", {})),
        sections=_sections(metrics, figures, defined),
        training=_galleries([f for f in figures if _kind(f) == "training"], "training"),
        definitions=_definitions(defined, {m.get("name", "") for m in metrics}),
        left_out=[
            (clean(one.get("part", "")).replace("_", " "), clean(one.get("reason", "")))
            for one in report.get("left_out", ())
        ],
        options=_options(report),
        versions=[(clean(k), clean(v)) for k, v in sorted(report.get("versions", {}).items())],
    )


@cache
def _template() -> Template:
    loader = FileSystemLoader(_HERE)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html")


def _sections(
    metrics: Sequence[Mapping[str, Any]], figures: Sequence[Mapping[str, Any]], defined: Mapping[str, Any]
) -> list[Section]:
    return [
        Section(
            ident,
            said,
            lead,
            attacks(metrics, defined) if name == "PRIVACY" else None,
            *headlines(name, metrics, defined, NAMES),
            _galleries([f for f in figures if family(f) == name and _kind(f) != "training"], ident),
            matrices(name, metrics, defined),
            groups(name, metrics, defined, NAMES),
        )
        for name, ident, said, lead in _SECTIONS
    ]


def _kind(figure: Mapping[str, Any]) -> str:
    return str(figure.get("name", "")).partition(":")[0]


def _roc(figure: Mapping[str, Any]) -> bool:
    return "roc" in str(figure.get("name", "")).split(":")


def _galleries(figures: Sequence[Mapping[str, Any]], ident: str) -> list[Gallery]:
    """By the part of the name before the colon, in the order given; those that are alone stand together."""
    found: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
    for at, figure in enumerate(figures):
        found.setdefault(_kind(figure), []).append((at, figure))
    alone = [kind for kind, members in found.items() if len(members) == 1]
    if len(alone) > 1:
        found = {"": [found[kind][0] for kind in alone]} | {k: v for k, v in found.items() if k not in alone}
    made = []
    for kind, members in found.items():
        size = _size(kind, [figure for _, figure in members])
        pictures = [p for at, f in members if (p := _picture(f, f"{ident}{at}", size)) is not None]
        if pictures:
            said = _TITLES.get(kind, clean(kind.replace("_", " ")).capitalize()) if len(pictures) > 1 else ""
            made.append(Gallery(said, size, pictures[:_MOST_SHOWN], pictures[_MOST_SHOWN:]))
    return made


def _size(kind: str, figures: Sequence[Mapping[str, Any]]) -> str:
    """What has many of its kind is small; a heat map needs room for its names."""
    if all(str(f.get("kind", "")).endswith("HEATMAP") for f in figures):
        names = max(len(f.get("categories", ())) for f in figures)
        return "small" if names <= 16 and len(figures) > 1 else "square" if names <= 28 else "wide"
    if kind and (kind == "marginal" or len(figures) > 4):
        return "small"
    return "square" if len(figures) > 1 or any(map(_roc, figures)) else "wide"


def _picture(figure: Mapping[str, Any], ident: str, size: str) -> Picture | None:
    wide, high = {"small": (_SMALL, 210), "square": (_SQUARE, 330), "wide": (_WIDE, 320)}[size]
    # An attack that is sure of few patients shows at low false-positive rates alone.
    logs = (False, True) if _roc(figure) and family(figure) == "PRIVACY" else (False,)
    drawn = [draw(figure, f"{ident}{'l' if log else ''}", wide, high, log_x=log) for log in logs]
    if not drawn[0]:
        return None
    plot = Plot.of(figure)
    heads, rows, note = _table(plot)
    return Picture(plot.title, [Markup(one) for one in drawn], heads, rows, note)  # noqa: S704 - escaped by Svg


def _table(plot: Plot) -> tuple[list[str], list[list[str]], str]:
    """The values of a picture: its heads, rows, and what is lacking."""
    if plot.kind == "lines":
        rows = []
        for curve in plot.curves:
            points = list(zip(curve.x, curve.y, strict=False))
            every = max(1, math.ceil(len(points) / _MOST_POINTS))
            rows += [[curve.name, short(x), short(y)] for x, y in points[::every]]
        thinned = any(len(curve.x) > _MOST_POINTS for curve in plot.curves)
        note = f"About {_MOST_POINTS} points of each line; the JSON report has all." if thinned else ""
        return ["Line", plot.x_label or "x", plot.y_label or "y"], rows, note
    if len(plot.categories) * len(plot.curves) > _MOST_CELLS:
        return [], [], "Too many values for a table; the JSON report has all."
    if plot.kind == "heatmap":
        return ["", *plot.categories], [[c.name, *(short(y) for y in c.y)] for c in plot.curves], ""
    rows = [
        [name, *(_with_ends(curve.y, curve.low, curve.high, at) for curve in plot.curves)]
        for at, name in enumerate(plot.categories)
    ]
    return [plot.x_label or "Category", *(curve.name or plot.y_label for curve in plot.curves)], rows, ""


def _with_ends(y: Sequence[float], low: Sequence[float], high: Sequence[float], at: int) -> str:
    if at >= len(y) or not math.isfinite(y[at]):
        return "–"
    if at < min(len(low), len(high)) and math.isfinite(low[at]) and math.isfinite(high[at]):
        return f"{short(y[at])} ({short(low[at])} – {short(high[at])})"
    return short(y[at])


def _unbroken(text: object) -> str:
    return clean(text).replace(" %", "\u00a0%")


def _facts(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was evaluated, when."""
    keys = {
        "model": "Model",
        "synthetic_dataset": "Synthetic rows",
        "dataset": "Real rows",
        "holdout_dataset": "Held-out rows",
        "job": "Job",
        "name": "Report",
    }
    facts = [(said, clean(report[key])) for key, said in keys.items() if report.get(key)]
    if when := str(report.get("create_time", "")):
        facts.insert(
            0, ("Made", clean(when[:16].replace("T", " ") + (" UTC" if when.endswith("Z") else when[19:])))
        )
    facts += [(clean(key), clean(value)) for key, value in sorted(report.get("labels", {}).items())]
    return facts


def _counts(counts: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    def patients(key: str) -> str:
        return whole(counts[key]) if counts.get(key) is not None else "–"

    return [
        ("Learned from", whole(counts.get("training_rows")), patients("training_patients")),
        ("Held out", whole(counts.get("holdout_rows")), patients("holdout_patients")),
        ("Synthetic", whole(counts.get("synthetic_rows")), "–"),
    ]


def _definitions(
    defined: Mapping[str, Mapping[str, Any]], measured: set[str]
) -> list[tuple[str, list[dict[str, str]]]]:
    """Of what was measured, by family: title, description, which values are better, and the source."""
    better = {"HIGHER": "Higher is better.", "LOWER": "Lower is better."}
    found = []
    for of, _, said, _ in _SECTIONS:
        entries = []
        for name, info in defined.items():
            if family(info) != of or name not in measured:
                continue
            direction = str(info.get("direction", "")).removeprefix("METRIC_DIRECTION_")
            target = f"Best at {number(info.get('target') or 0)}." if direction == "TARGET" else ""
            entries.append(
                {
                    "name": clean(name),
                    "title": title(name, defined),
                    "description": clean(info.get("description", "")),
                    "better": target or better.get(direction, "Neither higher nor lower is better."),
                    "reference": clean(info.get("reference", "")),
                }
            )
        if entries:
            found.append((said, sorted(entries, key=lambda entry: entry["title"].casefold())))
    return found


def _options(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    options = report.get("options", {})
    profile = str(options.get("profile", "")).removeprefix("EVALUATION_PROFILE_").lower()
    lists = {
        "targets": "Predicted columns",
        "quasi_identifiers": "Known to the attacker",
        "sensitive": "Wanted by the attacker",
        "protected": "Groups whose fairness was looked at",
    }
    said = [("Profile", profile or "not said")]
    said += [(words, ", ".join(map(clean, options.get(key, ()))) or "none") for key, words in lists.items()]
    said.append(("Seed", clean(options.get("seed", "0"))))
    for words, text in (("Time budget", options.get("time_budget")), ("Took", report.get("duration"))):
        seconds = number_of(str(text).removesuffix("s")) if text else None
        if seconds is not None:
            said.append((words, f"{seconds:,.1f} s" if seconds < 100 else f"{seconds:,.0f} s"))
    if report.get("content_digest"):
        raw = base64.b64decode(str(report["content_digest"]), validate=False)
        said.append(("Digest of the generator", raw.hex()))
    if report.get("format"):
        said.append(("Format of the report", clean(report["format"])))
    return said
