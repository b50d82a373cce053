"""Between protobuf messages of constraints and plain values; see `kohort.wire`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict

from kohort.rules import Allowed, Combination, Constraint, OneHot, Order, Range, Unique, rule_name
from kohort.v1 import schema_pb2

_MESSAGES: Mapping[str, type] = {
    "range": schema_pb2.RangeConstraint,
    "order": schema_pb2.OrderConstraint,
    "combination": schema_pb2.CombinationConstraint,
    "unique": schema_pb2.UniqueConstraint,
    "one_hot": schema_pb2.OneHotConstraint,
    "allowed": schema_pb2.AllowedConstraint,
}


def constraints_to_proto(constraints: Iterable[Constraint]) -> list[schema_pb2.Constraint]:
    """The messages of constraints."""
    return [
        schema_pb2.Constraint(**{rule_name(rule): _MESSAGES[rule_name(rule)](**asdict(rule))})
        for rule in constraints
    ]


def constraints_from_proto(messages: Iterable[schema_pb2.Constraint]) -> tuple[Constraint, ...]:
    """Constraints of their messages.

    A rule that this version does not know becomes a `Unique` of no column,
    which every check of a schema refuses: it must not be passed over.
    """
    return tuple(map(_constraint, messages))


def _constraint(message: schema_pb2.Constraint) -> Constraint:
    match message.WhichOneof("rule"):
        case "range":
            bounds = message.range
            return Range(
                bounds.column,
                bounds.minimum if bounds.HasField("minimum") else None,
                bounds.maximum if bounds.HasField("maximum") else None,
            )
        case "order":
            return Order(message.order.low, message.order.high, message.order.strict)
        case "combination":
            return Combination(tuple(message.combination.columns))
        case "unique":
            return Unique(tuple(message.unique.columns))
        case "one_hot":
            return OneHot(tuple(message.one_hot.columns))
        case "allowed":
            return Allowed(message.allowed.column, tuple(message.allowed.values))
        case _:
            return Unique(())
