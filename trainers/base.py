"""What every generator is, seen from outside.

A trainer turns a table into a `Generator`. A generator says, twice and
independently, how noise becomes encoded features: as a graph (`graph`, which
the exporter turns into ONNX) and as plain numbers (`reference`, which runs the
trained network itself). The encoding (`trainers.encoding`) says how encoded
features become cells. Exporting compares all of it before anything is
published.

Trainers know no gRPC, no job and no metric: they are handed two hooks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from kohort.problem import Problem
from kohort.schema import Finding, Kind

if TYPE_CHECKING:
    from tables.tableset import TableSet
    from trainers.encoding import Encoding

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


class ConditionSupport(StrEnum):
    """How a model honours a condition."""

    NATIVE = "native"
    REJECTION = "rejection"
    NONE = "none"


MODELLED = frozenset(Kind) - {Kind.UNSPECIFIED, Kind.TEXT, Kind.ID, Kind.CODE_LIST}
"""The kinds of column that trainers of single rows model."""

OPERATORS = ("equals", "one_of", "range", "is_null")
"""The tests a condition can make of a cell: the keys of `TrainerInfo.conditions`."""

REJECTION: Mapping[str, ConditionSupport] = dict.fromkeys(OPERATORS, ConditionSupport.REJECTION)
"""What any model can: rows that do not meet a condition are drawn again."""

NATIVE: Mapping[str, ConditionSupport] = dict.fromkeys(OPERATORS, ConditionSupport.NATIVE)
"""What a `ConditionalGenerator` can; see `kohort.conditions`."""


class ParameterType(StrEnum):
    """The type of a parameter."""

    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    STRING = "string"
    INTEGER_LIST = "integer_list"


@dataclass(frozen=True)
class Parameter:
    """One parameter of a trainer: typed, described, bounded (inclusive)."""

    name: str
    type: ParameterType
    default: Any
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    def check(self, value: Any) -> Any:
        """`value` as this parameter takes it. Raises Problem INVALID_PARAMETER."""
        where = f"parameters.{self.name}"
        match self.type:
            case ParameterType.BOOLEAN:
                if not isinstance(value, bool):
                    raise Problem.at("INVALID_PARAMETER", where, "must be true or false")
                return value
            case ParameterType.STRING:
                if not isinstance(value, str) or (self.choices and value not in self.choices):
                    raise Problem.at("INVALID_PARAMETER", where, f"must be one of {', '.join(self.choices)}")
                return value
            case ParameterType.INTEGER_LIST:
                if not isinstance(value, (list, tuple)) or not value or len(value) > 16:
                    raise Problem.at("INVALID_PARAMETER", where, "must be a list of 1 to 16 whole numbers")
                return [self._number(v, where, whole=True) for v in value]
            case _:
                return self._number(value, where, whole=self.type is ParameterType.INTEGER)

    def _number(self, value: Any, where: str, *, whole: bool) -> float | int:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
            raise Problem.at("INVALID_PARAMETER", where, "must be a number")
        if whole and value != int(value):
            raise Problem.at("INVALID_PARAMETER", where, "must be a whole number")
        if self.minimum is not None and value < self.minimum:
            raise Problem.at("INVALID_PARAMETER", where, f"must be at least {self.minimum:g}")
        if self.maximum is not None and value > self.maximum:
            raise Problem.at("INVALID_PARAMETER", where, f"must be at most {self.maximum:g}")
        return int(value) if whole else float(value)


@dataclass(frozen=True)
class TrainerInfo:
    """What a trainer declares: everything GetCapabilities, the CLI and the docs show."""

    name: str
    display_name: str
    description: str
    reference: str
    parameters: tuple[Parameter, ...]
    kinds: frozenset[Kind]
    conditions: Mapping[str, ConditionSupport] = field(default_factory=dict)
    imputation: bool = False
    rebalancing: bool = False
    temperature: bool = False
    differential_privacy: bool = False
    gpu: bool = False
    resumable: bool = False
    per_record_loss: bool = False
    """Whether the loss is a sum over records, as DP-SGD needs."""
    uses_batchnorm: bool = False
    """Whether records of a batch influence each other through batch statistics."""
    data_dependent_stop: bool = False
    """Whether the number of steps depends on the data."""
    licence_note: str = ""

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Every parameter, defaults filled in. Raises Problem INVALID_PARAMETER."""
        known = {p.name: p for p in self.parameters}
        for name in given:
            if name not in known:
                raise Problem.at(
                    "INVALID_PARAMETER", f"parameters.{name}", f"{self.name} has no such parameter"
                )
        return {n: p.check(given.get(n, p.default)) for n, p in known.items()}


@dataclass(frozen=True)
class Progress:
    """How far fitting is: `step` of `total_steps` epochs, losses by name, rows/s."""

    step: int
    total_steps: int
    losses: Mapping[str, float] = field(default_factory=dict)
    rows_per_second: float = 0.0
    gradient_norm: float = 0.0
    """On average over the steps of the epoch; 0 where there is none."""


class Stopped(Exception):
    """Raised by `Hooks.check` when a stop was asked for; trainers let it through."""


@dataclass(frozen=True)
class Hooks:
    """What a trainer may call while it fits; the defaults do nothing.

    `progress` after each epoch; `should_stop` is asked at every step, through
    `check`; `phase` when a stage begins; `warn` for what a person should know.
    `checkpoints` is a private directory that outlives a lost worker, or None.
    """

    progress: Callable[[Progress], None] = lambda _: None
    should_stop: Callable[[], bool] = lambda: False
    phase: Callable[[str], None] = lambda _: None
    warn: Callable[[Finding], None] = lambda _: None
    checkpoints: Path | None = None
    seconds_left: Callable[[], float] = lambda: math.inf
    """How long fitting may still take; a trainer that has none left returns the best model so far."""
    watch: Callable[[Callable[[], Generator]], None] = lambda _: None
    """Told at the end of an epoch how a generator of the present weights is made: it is the hook that
    decides whether to, and what of the time. It may raise, which ends fitting. Models without epochs
    say nothing."""

    def check(self) -> None:
        """Raises Stopped when a stop was asked for."""
        if self.should_stop():
            raise Stopped


@dataclass(frozen=True)
class FitRequest:
    """One run of training.

    `train` and `validation` hold disjoint patients; validation may be empty.
    `seed` fixes all randomness. `device` is a torch device string.
    `equal_patients`: every patient counts the same, however many rows are theirs.
    """

    train: TableSet
    validation: TableSet
    parameters: Mapping[str, Any]
    seed: int
    min_patients: int = 5
    device: str = "cpu"
    equal_patients: bool = False


@dataclass(frozen=True)
class Noise:
    """Random numbers a unit consumes: uniforms in (0, 1) and standard normals."""

    uniforms: int
    normals: int
    scheme: int = 1
    """Of `kohort.noise`. 2 makes normals at a fraction of the cost, none beyond ±4.39: for a latent."""


class Ops(Protocol):
    """How a generator writes its graph; `exporters.graph` implements it.

    Tensors are named values (strings). `constant` and `node` are enough for
    any graph; the rest are shapes that every generator needs.
    """

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike | None = None) -> str:
        """An initializer; equal arrays are stored once."""

    def node(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """An ONNX operator of the allow-list; one name, or a tuple for several outputs."""

    def linear(self, x: str, weight: Floats, added: Floats | str | None = None) -> str:
        """x [n, i] times weight [o, i] (torch's layout), plus a bias [o] or a tensor [n, o] → [n, o]."""

    def linear_columns(self, x: str, weight: Floats, added: Floats | str) -> str:
        """`linear` with outputs as rows: a bias [o] or a tensor [o, n] is added → [o, n]."""

    def slice(self, x: str, start: int, stop: int) -> str:
        """Columns [start, stop) of x [n, m]."""

    def draw(self, logits: str, uniform: str) -> str:
        """Category by inverse CDF of softmax(logits [n, k]) at uniform [n, 1] → int64 [n]."""

    def draw_columns(self, logits: str, uniform: str, size: int) -> str:
        """`draw` with classes as rows: logits [size, n] and uniform [1, n] → int32 [1, n]."""

    def interpolate(self, u: str, knots: Doubles, values: Doubles) -> str:
        """Piecewise-linear map of u [n] (clamped to the knots) → float64 [n]; knots may repeat."""


class Generator(Protocol):
    """What training gives: how noise becomes the features of `encoding`.

    Feature j of the encoding is either discrete (int64 index below its size)
    or continuous (float64 in the feature's own coordinate, see
    `trainers.encoding`).
    """

    @property
    def encoding(self) -> Encoding:
        """How features become cells."""

    @property
    def noise(self) -> Noise:
        """What one unit consumes."""

    def graph(self, ops: Ops, uniform: str, normal: str) -> Sequence[str]:
        """Writes the graph for uniform [n, U] and normal [n, N] (float32).

        Returns one tensor name per feature of the encoding, in order: int64 [n]
        where discrete, float64 [n] where continuous.
        """

    def reference(self, uniform: Floats, normal: Floats) -> Sequence[Indices | Doubles]:
        """The same by the trained model itself (torch or numpy), without the graph."""


def variant_of(generator: Generator) -> str:
    """What the generator's network computes in: "fp32", or "int8" where it says so by a `variant`."""
    return str(getattr(generator, "variant", "fp32"))


@dataclass(frozen=True)
class Given:
    """Inputs of a graph that completes rows, as tensor names (each float32 but for those said)."""

    features: str
    """float64 [n, F]: the class or coordinate of every feature that is given; 0 elsewhere."""
    mask: str
    """bool [n, F]: which are given. A null cell is given as "present" 0 with "value" not given."""
    temperature: str
    """[n, 1]: divides the logits of every draw."""
    top_p: str
    """[n, 1]: draws come from the fewest classes that together have this probability."""


@runtime_checkable
class ConditionalGenerator(Protocol):
    """A generator that honours given features natively; it is a `Generator`, too.

    Given features come back as they are, the others are drawn from the model's
    distribution given them. With nothing given, temperature 1 and top_p 1 the
    rows equal those of `graph` and `reference`.
    """

    def graph_given(self, ops: Ops, uniform: str, normal: str, given: Given) -> Sequence[str]:
        """As `graph`."""

    def reference_given(
        self,
        uniform: Floats,
        normal: Floats,
        features: Doubles,
        mask: npt.NDArray[np.bool_],
        temperature: Floats,
        top_p: Floats,
    ) -> Sequence[Indices | Doubles]:
        """As `reference`; shapes as in `Given`."""


@runtime_checkable
class Trainer(Protocol):
    """An algorithm: one file in `trainers/`, one line in the registry."""

    info: ClassVar[TrainerInfo]

    def fit(self, request: FitRequest, hooks: Hooks) -> Generator:
        """Learns a generator.

        Raises `Stopped` when asked to stop and Problem for data it cannot
        model (reasons of the contract), never holding a cell value.
        """
