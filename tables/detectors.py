"""What a detector of identifiers is, and the eighteen classes of Safe Harbor that detectors serve."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

LETTERS: Mapping[str, str] = {
    "A": "Names",
    "B": "Geographic subdivisions smaller than a state",
    "C": "Elements of dates except the year, ages over 89",
    "D": "Telephone numbers",
    "E": "Fax numbers",
    "F": "E-mail addresses",
    "G": "Social security numbers",
    "H": "Medical record numbers",
    "I": "Health plan beneficiary numbers",
    "J": "Account numbers",
    "K": "Certificate and licence numbers",
    "L": "Vehicle identifiers and serial numbers, licence plates",
    "M": "Device identifiers and serial numbers",
    "N": "Web addresses (URLs)",
    "O": "IP addresses",
    "P": "Biometric identifiers",
    "Q": "Full-face photographs and the like",
    "R": "Any other unique identifying number, characteristic or code",
}
"""The identifiers of 45 CFR 164.514(b)(2)(i) by letter, in short."""


@dataclass(frozen=True)
class Detector:
    """What tells that a column holds one kind of identifiers."""

    letter: str
    what: str
    name: str = ""
    """A pattern of names as `tables.names.words` gives them; "": no name tells."""
    shape: str = ""
    """A pattern of texts without spaces around; "": no shape tells."""
    check: Callable[[str], bool] | None = None
    """Check digits of a text of that shape, given letters and digits alone in upper case. Nearly every
    distinct text must have the shape and hold them."""
    fake: str = ""
    """The kind of fresh fakes (`kohort.fakes`); "": the column is dropped."""
    numbers: bool = False
    """Whether a name tells of whole numbers as well as of texts."""
    fractions: bool = False
    """Whether a name tells of any numbers."""
    rare: bool = False
    """Whether a name tells only where most values belong to few patients."""
    rare_shape: bool = False
    """Whether a shape tells only where most values belong to few patients."""
    learned: bool = False
    """Whether such a column is learned all the same, and reported."""


def named(letter: str, what: str, fake: str, names: str, shape: str = "", **more: Any) -> Detector:
    """A detector of names that end with one of `names` (patterns between spaces), whole words."""
    return Detector(letter, what, rf"(^|_)({'|'.join(names.split())})$", shape, fake=fake, **more)


def shaped(letter: str, what: str, fake: str, shape: str, **more: Any) -> Detector:
    """A detector of texts alone."""
    return Detector(letter, what, shape=shape, fake=fake, **more)
