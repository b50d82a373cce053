"""Writes the reference pages of docs/ from what they describe (`make docs`).

docs/api.md comes from the protos, docs/trainers.md from the registry,
docs/settings.md from the settings, docs/evaluation-metrics.md from the evaluators. A test regenerates and compares.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2 as d

if TYPE_CHECKING:
    from trainers.base import TrainerInfo

ROOT = Path(__file__).resolve().parent.parent
MARK = "<!-- Written by `make docs`; do not edit. -->\n"

SCALARS = {
    v.number: v.name.removeprefix("TYPE_").lower()
    for v in d.FieldDescriptorProto.DESCRIPTOR.enum_types_by_name["Type"].values
}


def api() -> str:
    """docs/api.md."""
    image = subprocess.run(
        [str(Path(sys.executable).parent / "buf"), "build", "--as-file-descriptor-set", "-o", "-"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    files = [f for f in d.FileDescriptorSet.FromString(image).file if f.package == "kohort.v1"]
    order = [
        "dataset",
        "training",
        "sampling",
        "evaluation",
        "release",
        "capabilities",
        "schema",
        "table",
        "errors",
    ]
    files.sort(key=lambda f: order.index(Path(f.name).stem))
    parts = [
        f"{MARK}\n# The API\n\nPackage `kohort.v1`; the text is that of `protos/kohort/v1`. Errors are in"
        " [errors.md](errors.md).\n"
    ]
    for file in files:
        parts += _file(file)
    return "\n".join(parts)


def _file(file: d.FileDescriptorProto) -> Iterator[str]:
    comments = {
        tuple(loc.path): "\n".join(
            line.removeprefix(" ") for line in loc.leading_comments.splitlines()
        ).strip()
        for loc in file.source_code_info.location
    }
    for i, service in enumerate(file.service):
        yield f"## {service.name}\n\n{comments.get((6, i), '')}\n"
        for j, rpc in enumerate(service.method):
            ask = ("stream " if rpc.client_streaming else "") + _short(rpc.input_type)
            answer = ("stream " if rpc.server_streaming else "") + _short(rpc.output_type)
            yield f"### {service.name}.{rpc.name}\n\n`{ask}` → `{answer}`\n\n{comments.get((6, i, 2, j), '')}\n"
    for i, message in enumerate(file.message_type):
        yield f"### {message.name}\n\n{comments.get((4, i), '')}\n"
        if message.field:
            yield "| field | type | meaning |\n|---|---|---|"
            for j, field in enumerate(message.field):
                text = _line(comments.get((4, i, 2, j), ""))
                yield f"| `{field.name}` | {_type(field, message)} | {text} |"
            yield ""
    for i, enum in enumerate(file.enum_type):
        yield f"### {enum.name}\n\n{comments.get((5, i), '')}\n\n| value | meaning |\n|---|---|"
        for j, value in enumerate(enum.value):
            yield f"| `{value.name}` = {value.number} | {_line(comments.get((5, i, 2, j), ''))} |"
        yield ""


def _type(field: d.FieldDescriptorProto, message: d.DescriptorProto) -> str:
    for nested in message.nested_type:
        if nested.options.map_entry and field.type_name.endswith(f".{nested.name}"):
            key, value = nested.field
            return f"map of `{_scalar(key)}` to `{_scalar(value)}`"
    repeated = "repeated " if field.label == d.FieldDescriptorProto.LABEL_REPEATED else ""
    optional = "optional " if field.proto3_optional else ""
    one_of = " (one of)" if field.HasField("oneof_index") and not field.proto3_optional else ""
    return f"{repeated}{optional}`{_scalar(field)}`{one_of}"


def _scalar(field: d.FieldDescriptorProto) -> str:
    return _short(field.type_name) if field.type_name else SCALARS[field.type]


def _short(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def trainer_pages() -> str:
    """docs/trainers.md."""
    from trainers.registry import default_trainer, trainers

    infos = [cls.info for cls in trainers().values()]
    parts = [
        f"{MARK}\n# Trainers\n\nWhat this installation can train; `kohort capabilities` shows that of a server."
        f" The default is `{default_trainer()}`. [benchmarks.md](benchmarks.md) measures them beside each other,"
        " [training.md](training.md) says what a job does, [conditional-sampling.md](conditional-sampling.md) what"
        " conditions and completion guarantee, [adding-a-generator.md](adding-a-generator.md) how to add one.\n",
        "| trainer | conditions | " + " | ".join(_ABILITIES) + " |\n|" + "---|" * (len(_ABILITIES) + 2),
    ]
    for info in infos:
        can = ["yes" if getattr(info, field) else "no" for field in _ABILITIES.values()]
        parts.append(f"| [`{info.name}`](#{info.name}) | {_conditions(info)} | {' | '.join(can)} |")
    for info in infos:
        parts += _trainer(info)
    return "\n".join([*parts, ""])


_ABILITIES = {
    "rebalancing": "rebalancing",
    "completes rows": "imputation",
    "temperature": "temperature",
    "differential privacy": "differential_privacy",
    "GPU": "gpu",
    "resumes": "resumable",
}
"""Columns of the table of trainers, and the fields of `TrainerInfo` that they show."""


def _conditions(info: TrainerInfo) -> str:
    """How conditions are met: one word where that does not depend on the operator."""
    ways = {support.value for support in info.conditions.values()}
    if len(ways) == 1:
        return ways.pop()
    return ", ".join(f"`{operator}` {support.value}" for operator, support in sorted(info.conditions.items()))


def _trainer(info: TrainerInfo) -> Iterator[str]:
    yield f"\n## {info.name}\n\n**{info.display_name}.** {info.description}\n\nSource: {info.reference}.\n"
    if info.licence_note:
        yield f"**Licence.** {info.licence_note}\n"
    if not info.parameters:
        yield "No parameters."
        return
    yield "| parameter | type | default | range | meaning |\n|---|---|---|---|---|"
    for p in info.parameters:
        bounds = ", ".join(p.choices) or " to ".join(
            "…" if b is None else f"{b:g}"
            for b in (p.minimum, p.maximum)
            if (p.minimum, p.maximum) != (None,) * 2
        )
        yield f"| `{p.name}` | {p.type.value} | {_default(p.default)} | {bounds} | {_line(p.description)} |"


def _default(value: Any) -> str:
    """As a request writes it, in JSON; nothing for an empty text."""
    return "" if value == "" else f"`{json.dumps(value)}`"


UNITS = {"_seconds": "s", "_bytes": "bytes", "_port": "port", "port": "port", "_per_day": "in 24 h"}


def settings_page() -> str:
    """docs/settings.md: the settings in the groups of `server/settings.py`, which its comments name."""
    from server.settings import Settings

    parts = [
        f"{MARK}\n# Settings\n\nEach is a flag, a variable of the environment and a key of the TOML file that"
        " `KOHORT_CONFIG` names: `--port 50052`, `KOHORT_PORT=50052`, `port = 50052`. Flags win over variables,"
        " variables over the file. When to change which: [operations.md](operations.md#settings)."
    ]
    groups = _groups(ROOT / "server" / "settings.py")
    told = ""
    for name, field in Settings.model_fields.items():
        if groups[name] != told:
            told = groups[name]
            parts.append(f"\n## {told}\n\n| setting | default | unit | meaning |\n|---|---|---|---|")
        # A computed default depends on the machine; the page must not.
        shown = (
            "computed"
            if field.default_factory
            else ""
            if field.default in (None, "")
            else f"`{field.default}`"
        )
        unit = next((unit for ending, unit in UNITS.items() if name.endswith(ending)), "")
        parts.append(f"| `{name}` | {shown} | {unit} | {_line(field.description or '')} |")
    return "\n".join([*parts, ""])


def _groups(file: Path) -> dict[str, str]:
    """The group of every setting: the comment that stands above its first one."""
    group, found = "", {}
    for line in file.read_text().splitlines():
        if match := re.match(r"    # (.+)\.$", line):
            group = match[1]
        elif match := re.match(r"    (\w+): ", line):
            found[match[1]] = group
    return found


def metrics_page() -> str:
    """docs/evaluation-metrics.md."""
    from evaluators import case
    from evaluators.fidelity import manifold
    from evaluators.gate import DEFAULT_RULES, Policy, Reference, Statistic
    from evaluators.privacy import attacks, guesses, neighbours, shadow
    from evaluators.registry import definitions, evaluators
    from evaluators.results import Family
    from evaluators.utility import arms, augmentation, importance

    caps = {
        "statistics of columns and of pairs": case.PAIR_ROWS,
        "fitting a classifier or regression": case.MODEL_ROWS,
        "testing it on held-out rows": arms.TEST_ROWS,
        "augmentation: real rows": augmentation.REAL_ROWS,
        "importance: each model, and rows that are explained": (
            importance.FIT_ROWS,
            importance.EXPLAINED_ROWS,
        ),
        "kernel matrices": case.KERNEL_ROWS,
        "precision, recall, density, coverage, on either side": manifold.ROWS,
        "authenticity: rows that are asked, and searched": (manifold.ASKED, manifold.AMONG),
        "distances to the closest record, on either side": neighbours.ROWS,
        "membership: rows scored on either side, of the reference, synthetic": (
            attacks.SCORED_ROWS,
            attacks.REFERENCE_ROWS,
            attacks.SYNTHETIC_ROWS,
        ),
        "attribute inference, linkability: patients attacked on either side": guesses.VICTIMS,
        "shadow models: training rows that halves are drawn from": shadow.POOL_ROWS,
    }
    against = {
        Reference.ABSOLUTE: "",
        Reference.DIFFERENCE: " minus that of real rows",
        Reference.RATIO: " over that of real rows",
    }
    ends = {
        Statistic.VALUE: "",
        Statistic.LOWER: "the lower end of the interval of ",
        Statistic.UPPER: "the upper end of the interval of ",
    }
    parts = [
        f"{MARK}\n# Metrics of an evaluation\n\n[evaluation.md](evaluation.md) says how to read them.\n",
        "## The default policy\n\n| guards | rule is broken where | effect |\n|---|---|---|",
    ]
    for rule in DEFAULT_RULES:
        what = f"{ends[rule.statistic]}`{rule.metric}`{against[rule.reference]}"
        side = "below" if rule.below else "above"
        kind, effect = rule.kind.value.lower(), rule.effect.value.lower()
        parts.append(f"| {kind} | {what} is {side} {rule.threshold:g} | {effect} |")
    least = Policy().min_holdout_patients
    parts.append(f"\nWith fewer than {least} held-out patients nothing is known: INCONCLUSIVE.\n")
    parts.append("## How many rows are looked at\n\n| for | rows at most |\n|---|---|")
    for what, rows in caps.items():
        each = rows if isinstance(rows, tuple) else (rows,)
        parts.append(f"| {what} | {' · '.join(f'{n:,}' for n in each)} |")
    parts.append("\nTables of many columns or classes have fewer; copies are looked for among all rows.")
    parts.append("\n## Parts, in the order in which they are computed\n")
    parts.append("| part | profile | needs | metrics |\n|---|---|---|---|")
    for part in evaluators():
        needs = ", ".join(sorted(need.value for need in part.needs))
        names = ", ".join(f"`{info.name}`" for info in part.metrics)
        parts.append(f"| {part.name} | {part.profile.value} | {needs} | {names} |")
    for family in Family:
        parts.append(f"\n## {family.value.capitalize()}\n")
        parts.append("| metric | what | better | source |\n|---|---|---|---|")
        for info in definitions().values():
            if info.family is family:
                better = f"{info.target:g}" if info.target is not None else info.direction.value
                what = f"**{info.title}.** {_line(info.description)}"
                parts.append(f"| `{info.name}` | {what} | {better} | {_line(info.reference)} |")
    return "\n".join([*parts, ""])


PAGES = {
    "api.md": api,
    "evaluation-metrics.md": metrics_page,
    "trainers.md": trainer_pages,
    "settings.md": settings_page,
}


def main(target: Path) -> None:
    """Writes every page below `target`."""
    target.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (target / name).write_text(page())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs")
