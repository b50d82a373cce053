"""Parameters that several trainers have, said once: names, bounds and words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainers.base import Parameter, ParameterType

SMALLEST = 32
"""Small tables are learned in smaller batches, so that an epoch has some steps: but no smaller than this."""


def epochs(default: int, most: int = 10_000) -> Parameter:
    """How long to train."""
    return Parameter(
        "epochs", ParameterType.INTEGER, default, "How often training goes through the table.", 1, most
    )


def batch_size(default: int, steps: int) -> Parameter:
    """Rows per step of a trainer that takes about `steps` steps an epoch on small tables; see `batch_of`."""
    said = f"Rows per step at most; small tables take a {steps}th of their rows, but at least {SMALLEST}."
    return Parameter("batch_size", ParameterType.INTEGER, default, said, 1, 65_536)


def batch_of(given: Mapping[str, Any], rows: int, steps: int) -> int:
    """What `batch_size` comes to on a table of so many rows."""
    return min(int(given["batch_size"]), max(SMALLEST, rows // steps))


def patience(default: int) -> Parameter:
    """When to stop early."""
    said = "Epochs without a better loss on the validation rows after which training ends; 0: never."
    return Parameter("patience", ParameterType.INTEGER, default, said, 0, 10_000)


def max_categories(default: int) -> Parameter:
    """How many classes of a feature are outputs of a network."""
    said = "Categories of a column that the network tells apart; rarer ones are drawn by their frequencies."
    return Parameter("max_categories", ParameterType.INTEGER, default, said, 2, 2_048)


def widths(name: str, default: tuple[int, ...], what: str) -> Parameter:
    """Widths of hidden layers."""
    said = f"Widths of the {what}'s hidden layers, such as {list(default)}."
    return Parameter(name, ParameterType.INTEGER_LIST, default, said, 1, 4_096)


def embedding(default: int) -> Parameter:
    """The width of the latent."""
    said = "Normals that a row is generated from: the width of the latent."
    return Parameter("embedding_dim", ParameterType.INTEGER, default, said, 1, 1_000)


def precision() -> Parameter:
    """In which numbers the exported network computes."""
    said = (
        "Arithmetic of the generator: int8 samples faster. Where its rows are not distributed as those of "
        "float32, float32 is published and the job says so."
    )
    return Parameter("precision", ParameterType.STRING, "float32", said, choices=("float32", "int8"))
