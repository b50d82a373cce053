"""Columns that look like direct identifiers, by name and by the shape of their cells.

After the identifiers of the HIPAA Safe Harbor rule, 45 CFR 164.514(b)(2)(i).
What is found here is likely, not certain, and what is not found may still
identify somebody: a person decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kohort.problem import Problem, Violation
from kohort.schema import Handling
from tables.names import words

if TYPE_CHECKING:
    from tables.infer import Inferred

_SHARE = 0.5
_OCTET = r"(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"


@dataclass(frozen=True)
class _Detector:
    what: str
    name: str = r"(?!)"
    shape: str = ""
    numbers: bool = False
    """Whether numbers under such a name identify as well as texts."""
    rare: bool = False
    """Whether the name tells only where most values belong to few patients."""


_DETECTORS = (
    _Detector(
        "names",
        r"(^|_)((first|last|given|family|middle|maiden|full|sur|fore|patient|person|mother|father|doctor|physician"
        r"|provider|guardian|contact)_?name|(first|last)_?nm|surname|forename|fname|lname)s?$",
        r"^\p{Lu}[\p{Ll}'’-]+, ?\p{Lu}[\p{Ll}'’-]+( \p{Lu}[\p{Ll}.]*)*$",
    ),
    _Detector("names", r"^names?$", rare=True),
    _Detector(
        "social security numbers", r"(^|_)(ssn|social_security.*)$", r"^[0-9]{3}-[0-9]{2}-[0-9]{4}$", True
    ),
    _Detector(
        "national or tax identifiers",
        r"(^|_)(nhs_(number|no|nbr)|national_id|tax_id|tin|nino|passport.*|citizen_id|aadhaar|cpf|nir)$",
        numbers=True,
    ),
    _Detector(
        "medical record numbers",
        r"(^|_)(mrn|medical_record_(number|no|nbr|num|id)|chart_(number|no))$",
        numbers=True,
    ),
    _Detector(
        "health plan or account numbers",
        r"(^|_)(account|acct|policy|insurance|beneficiary|health_plan|card|credit_card|iban)_?(number|no|nbr|num)?$",
        r"^[A-Z]{2}[0-9]{2}( ?[A-Z0-9]{4}){3,7}( ?[A-Z0-9]{1,3})?$",
        numbers=True,
        rare=True,
    ),
    _Detector("e-mail addresses", r"(^|_)e_?mail(_address|_addr)?$", r"^[^@\s]+@[^@\s]+\.[A-Za-z]{2,}$"),
    _Detector(
        "telephone or fax numbers",
        r"(^|_)(phone|telephone|mobile|cell|cellphone|fax|tel)(_?(number|no|nbr|num|home|work|[0-9]))*$",
        r"^(\+[0-9]{1,3}[ .-]?)?(\([0-9]{2,5}\) ?|[0-9]{2,5}[ ./-])[0-9]{3,4}[ .-]?[0-9]{3,5}$",
        numbers=True,
        rare=True,
    ),
    _Detector(
        "street addresses",
        r"(^|_)(street|address|addr|address_?line_?[0-9]?|street_?(address|name)|house_?(number|no))(_?[0-9])?$",
        r"^[0-9]{1,5} [\p{L}0-9.' -]+ (St|Street|Ave|Avenue|Rd|Road|Blvd|Ln|Lane|Drive|Court|Way)\.?(,.*)?$",
    ),
    _Detector(
        "postal codes",
        r"(^|_)(zip|zip_?code|zip_?[0-9]|post_?code|postal_?code|plz)$",
        r"^[0-9]{5}-[0-9]{4}$",
        True,
    ),
    _Detector("coordinates", r"(^|_)(latitude|longitude|lat|lon|lng|geo_?hash)$", numbers=True, rare=True),
    _Detector(
        "network addresses",
        r"(^|_)(ip|ip_?(address|addr)|mac_?(address|addr))$",
        rf"^({_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}|([0-9A-Fa-f]{{2}}[:-]){{5}}[0-9A-Fa-f]{{2}}|([0-9a-fA-F]{{1,4}}:){{7}}[0-9a-fA-F]{{1,4}})$",
    ),
    _Detector(
        "web addresses",
        r"(^|_)(url|uri|website|web_?(address|page|site)|homepage)$",
        r"^(?i)(https?|ftp)://|^www\.",
    ),
    _Detector(
        "licence, vehicle or device numbers",
        r"(^|_)((licen[cs]e|driver_licen[cs]e|certificate|plate|licen[cs]e_plate|vehicle|device|serial|device_serial)"
        r"_?(number|no|nbr|num|id)|(licen[cs]e_)?plate|vin|imei|udi)$",
        numbers=True,
    ),
    _Detector(
        "photographs or biometrics",
        r"(^|_)(photo|photograph|fingerprint|voice_?print|face_?image|retina_?scan)$",
    ),
)
_NAMES = tuple(re.compile(detector.name) for detector in _DETECTORS)


def looks_like(
    name: str, texts: tuple[str, ...] | None, counts: npt.NDArray[np.int64] | None, shared: float
) -> str | None:
    """What a column seems to hold ("e-mail addresses"), or None.

    Args:
        name: of the column.
        texts: its distinct texts [d], or None where it holds numbers.
        counts: how many cells hold each text, [d].
        shared: the share of cells whose value enough patients share.
    """
    said = words(name)
    for detector, pattern in zip(_DETECTORS, _NAMES, strict=True):
        if texts is None and not detector.numbers:
            continue
        if pattern.search(said) and (not detector.rare or shared < _SHARE):
            return detector.what
    if texts is None or counts is None or not counts.sum():
        return None
    array = pc.utf8_trim_whitespace(pa.array(texts, pa.string()))
    for detector in _DETECTORS:
        if not detector.shape:
            continue
        mask = pc.match_substring_regex(array, detector.shape).to_numpy(zero_copy_only=False).astype(np.bool_)
        if counts[mask].sum() >= _SHARE * counts.sum():
            return detector.what
    return None


def check_trainable(inferred: Inferred) -> None:
    """Refuses what must not or cannot be trained on.

    Raises:
        Problem: IDENTIFIER_UNACKNOWLEDGED naming every column that looks like
            a direct identifier; NO_USABLE_COLUMNS when nothing is left.
    """
    suspects = inferred.unacknowledged
    if suspects:
        raise Problem(
            "IDENTIFIER_UNACKNOWLEDGED",
            f"{suspects[0].table}.{suspects[0].column} looks like a direct identifier",
            violations=[Violation(f"{f.table}.{f.column}", f.message) for f in suspects],
        )
    if not any(c.handling is Handling.MODEL for table in inferred.schema for c in table.columns):
        raise Problem("NO_USABLE_COLUMNS", "no column is left to learn from")
