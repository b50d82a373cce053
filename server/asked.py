"""What a Sample request asks for, checked before anything is sent."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kohort import wire
from kohort.conditions import MAX_CONDITIONS, MAX_VALUES
from kohort.problem import Problem
from kohort.programs import SampleSpec, check_spec
from kohort.v1 import sampling_pb2
from server import validation
from server.encoders import ENCODERS
from server.modelcache import Loaded
from server.settings import Settings

MAX_SHARES = 1000
"""Values of a rebalancing, each of which is a cohort to be counted."""
MAX_FACTOR = 1000.0


@dataclass(frozen=True)
class Asked:
    """Units [start, start + count) of a model under a spec."""

    spec: SampleSpec
    start: int
    count: int


def check(request: sampling_pb2.SampleRequest, settings: Settings) -> None:
    """What can be said without the model.

    Raises:
        Problem: UNIT_OUT_OF_RANGE, LIMIT_EXCEEDED, INVALID_REQUEST, FORMAT_UNSUPPORTED.
    """
    _check_units(request.start_unit, request.unit_count, "unit_count", settings)
    checks = validation.Checks()
    checks.require(request.max_batch_rows >= 0, "max_batch_rows", "must not be negative")
    checks.require(len(request.runtime_fingerprint) <= 256, "runtime_fingerprint", "is none of a header")
    if request.HasField("augmentation_factor"):
        factor = request.augmentation_factor
        fits = math.isfinite(factor) and 0 < factor <= MAX_FACTOR
        checks.require(fits, "augmentation_factor", f"must be above 0 and at most {MAX_FACTOR:g}")
        checks.require(not request.unit_count, "augmentation_factor", "says how many: leave unit_count out")
        partial = request.HasField("partial_rows")
        checks.require(not partial, "augmentation_factor", "partial_rows say how many: leave it out")
    checks.done()
    _limit(len(request.conditions), MAX_CONDITIONS, "conditions", "conditions")
    _limit(sum(len(c.one_of.values) for c in request.conditions), MAX_VALUES, "conditions", "values in all")
    _limit(len(request.rebalancing.shares), MAX_SHARES, "rebalancing.shares", "values")
    if request.format and request.format not in ENCODERS:
        raise Problem.at("FORMAT_UNSUPPORTED", "format", "must be one of GetCapabilities")


def of(request: sampling_pb2.SampleRequest, model: Loaded, seed: int, settings: Settings) -> Asked:
    """The request, read against its model.

    Raises:
        Problem: what `kohort.wire.sample_spec_from_proto` and `kohort.programs.check_spec` raise;
            INVALID_REQUEST for a factor of a model that does not say how much it learned from;
            UNIT_OUT_OF_RANGE, LIMIT_EXCEEDED.
    """
    spec = wire.sample_spec_from_proto(request, model.program.schema, seed)
    start, count, field = request.start_unit, request.unit_count, "unit_count"
    if spec.partial is not None:
        count, field = spec.partial.row_count, "partial_rows"
    elif request.HasField("augmentation_factor"):
        field = "augmentation_factor"
        if not model.training_rows:
            raise Problem.at(
                "INVALID_REQUEST", field, "this model does not say how many rows it learned from"
            )
        count = max(1, round(request.augmentation_factor * model.training_rows))
    _check_units(start, count, field, settings)
    check_spec(model.program, spec, start, count)
    return Asked(spec, start, count)


def summary(request: sampling_pb2.SampleRequest) -> dict[str, object]:
    """What is asked beyond plain units, for the log: how much of what, and no value; empty if nothing."""
    said: dict[str, object] = {}
    if request.conditions:
        said["conditions"] = sorted(c.WhichOneof("test") or "" for c in request.conditions)
    if request.HasField("rebalancing"):
        said["rebalanced_values"] = len(request.rebalancing.shares)
    if request.HasField("partial_rows"):
        said["partial_rows"] = request.partial_rows.batch.row_count
    return said


def _check_units(start: int, count: int, field: str, settings: Settings) -> None:
    if start < 0 or count < 0 or start + count > validation.MAX_UNIT:
        wrong = field if 0 <= start < validation.MAX_UNIT else "start_unit"
        raise Problem.at("UNIT_OUT_OF_RANGE", wrong, "units must lie in [0, 2^53)")
    if count > settings.max_units:
        raise Problem.at("LIMIT_EXCEEDED", field, f"at most {settings.max_units} units in one call")


def _limit(count: int, limit: int, field: str, what: str) -> None:
    if count > limit:
        raise Problem.at("LIMIT_EXCEEDED", field, f"at most {limit} {what}")
