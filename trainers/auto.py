"""The trainer for those who name none: it looks at the table and says which one is to learn it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, runtime_checkable

from kohort.problem import Problem
from kohort.schema import Finding, Handling, Kind
from trainers import registry
from trainers.base import ConditionSupport, FitRequest, Generator, Hooks, Trainer, TrainerInfo


@dataclass(frozen=True)
class Choice:
    """A trainer by name, and for people why."""

    trainer: str
    why: str


@runtime_checkable
class Chooser(Protocol):
    """A trainer that leaves fitting to another one, with that one's defaults; it is a `Trainer`, too."""

    def choose(self, request: FitRequest, seconds: float) -> Choice:
        """Who is to fit, given so many seconds (which may be infinite)."""


@dataclass(frozen=True)
class Facts:
    """What is known of a job before anything is learned."""

    rows: int
    columns: int
    """Those that are modelled."""
    cuda: bool
    seconds: float
    kinds: frozenset[Kind] = frozenset()


@dataclass(frozen=True)
class Rule:
    """For which jobs, which trainers in order of preference, and why."""

    holds: Callable[[Facts], bool]
    trainers: tuple[str, ...]
    why: str


RULES = (
    Rule(
        lambda f: f.rows <= 150,
        ("copula", "arf", "argn"),
        "so few rows bear distributions and correlations, and hardly more",
    ),
    Rule(
        lambda f: f.columns > 500,
        ("argn", "copula"),
        "it keeps to a bounded number of parents per column, which very wide tables need",
    ),
    Rule(
        lambda f: f.seconds < 30 + f.rows / 200 and not f.cuda,
        ("arf", "copula", "argn"),
        "there is too little time for a neural network without a GPU",
    ),
    Rule(
        lambda f: True,
        ("argn", "arf", "copula"),
        "of tables of this size, autoregressive networks learn most (docs/benchmarks.md)",
    ),
)
"""The first that holds decides; of its trainers the first that is installed and models the columns."""

CANDIDATES = tuple(dict.fromkeys(name for rule in RULES for name in rule.trainers))

_STRENGTH = (ConditionSupport.NONE, ConditionSupport.REJECTION, ConditionSupport.NATIVE)


def _info() -> TrainerInfo:
    """Of everything the weakest of the candidates: what holds whichever is chosen."""
    infos = [found.info for name in CANDIDATES if (found := registry.installed(name))]
    operators = {operator for info in infos for operator in info.conditions}
    return TrainerInfo(
        name="auto",
        display_name="Automatic",
        description=(
            f"Chooses one of {', '.join(CANDIDATES)} by rows, columns, device and time, fits it with its "
            "defaults and says which and why in the job's events; the model is that trainer's. For whoever "
            "does not want to choose; what it declares here holds whichever it chooses."
        ),
        reference="rules of docs/training.md",
        parameters=(),
        kinds=frozenset.intersection(*(info.kinds for info in infos)) if infos else frozenset(),
        conditions={
            operator: min(
                (info.conditions.get(operator, ConditionSupport.NONE) for info in infos), key=_STRENGTH.index
            )
            for operator in sorted(operators)
        },
        imputation=all(info.imputation for info in infos),
        rebalancing=all(info.rebalancing for info in infos),
        temperature=all(info.temperature for info in infos),
        gpu=any(info.gpu for info in infos),
        resumable=all(info.resumable for info in infos),
        per_record_loss=all(info.per_record_loss for info in infos),
        uses_batchnorm=any(info.uses_batchnorm for info in infos),
        data_dependent_stop=True,
    )


class AutoTrainer:
    """Leaves fitting to the trainer it chooses."""

    info: ClassVar[TrainerInfo] = _info()

    def choose(self, request: FitRequest, seconds: float = math.inf) -> Choice:
        """By `RULES`. Raises Problem COLUMN_UNSUPPORTED when no candidate models the columns."""
        table = request.train.single()
        modelled = [column for column in table.schema.columns if column.handling is Handling.MODEL]
        facts = Facts(
            rows=table.num_rows,
            columns=len(modelled),
            cuda=request.device.startswith("cuda"),
            seconds=seconds,
            kinds=frozenset(column.kind for column in modelled),
        )
        return choose(facts)

    def fit(self, request: FitRequest, hooks: Hooks) -> Generator:
        """Fits the trainer it chooses, having said which."""
        chosen, request = delegate(self, request, hooks)
        return chosen.fit(request, hooks)


def choose(facts: Facts) -> Choice:
    """The rule that holds, and of its trainers the first that can."""
    for rule in RULES:
        if rule.holds(facts):
            for name in rule.trainers:
                found = registry.installed(name)
                if found is not None and facts.kinds <= found.info.kinds:
                    size = f"{facts.rows:,} rows to learn from, {facts.columns:,} columns"
                    return Choice(name, f"{name}: {size}; {rule.why}")
    raise Problem("COLUMN_UNSUPPORTED", "no trainer that is installed models columns of all these kinds")


def delegate(trainer: Trainer, request: FitRequest, hooks: Hooks) -> tuple[Trainer, FitRequest]:
    """Who fits, and with what: another trainer with its defaults where this one is a `Chooser`.

    The choice is said as the finding TRAINER_CHOSEN.
    """
    if not isinstance(trainer, Chooser):
        return trainer, request
    choice = trainer.choose(request, hooks.seconds_left())
    hooks.warn(Finding("TRAINER_CHOSEN", choice.why))
    chosen = registry.trainer(choice.trainer)
    return chosen, replace(request, parameters=chosen.info.resolve({}))
