"""Which code system the texts of a column come from, by shape and name.

Shapes after ICD-9-CM and ICD-10-CM (CDC/NCHS), LOINC (Regenstrief), ATC (WHO)
and NDC (FDA). A shape alone that ordinary labels might have needs a name that
says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tables.names import words

_SHARE = 0.95
_DISTINCT = 20


@dataclass(frozen=True)
class _System:
    vocabulary: str
    shape: str
    telling: bool
    """Whether the shape alone tells, given enough distinct codes."""


_SYSTEMS = (
    _System("LOINC", r"^[0-9]{1,5}-[0-9]$", True),
    _System("ATC", r"^[A-DGHJLMNPRSV][0-9]{2}[A-Z]{2}[0-9]{2}$", True),
    _System("NDC", r"^[0-9]{4,5}-[0-9]{3,4}-[0-9]{1,2}$", True),
    _System("ICD-9-CM", r"^([0-9]{3}(\.[0-9]{0,2})?|V[0-9]{2}(\.[0-9]{1,2})?|E[0-9]{3}(\.[0-9])?)$", False),
    _System("ICD-10-CM", r"^[A-TV-Z][0-9][0-9A-Z](\.?[0-9A-Z]{1,4})?$", False),
)
_HINT = re.compile(
    r"(^|_)(diag|diagnosis|diagnoses|dx|icd|icd[0-9]*|code|codes|cd|condition|procedure|loinc|atc|ndc)($|_)"
)


def vocabulary(name: str, texts: tuple[str, ...], counts: npt.NDArray[np.int64]) -> str:
    """The code system of distinct texts [d] that occur `counts` times each, or ""."""
    total = counts.sum()
    if not total:
        return ""
    array = pc.utf8_trim_whitespace(pa.array(texts, pa.string()))
    hinted = _HINT.search(words(name)) is not None
    for system in _SYSTEMS:
        if not hinted and not (system.telling and (counts > 0).sum() >= _DISTINCT):
            continue
        mask = pc.match_substring_regex(array, system.shape).to_numpy(zero_copy_only=False).astype(np.bool_)
        if counts[mask].sum() >= _SHARE * total:
            return system.vocabulary
    return ""
