"""What a column's name says to a person: keys, codes, counts."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

_SUFFIX = r"(id|ids|nbr|nr|no|num|number|key|uuid|guid|identifier|code|pk|sk)"
_PERSON = r"(patient|person|subject|participant|member|beneficiary|individual|client|pat|subj)"
_RECORD = (
    r"(encounter|visit|visit_occurrence|visit_detail|admission|hadm|stay|icustay|icu_stay|record|case|episode"
    r"|event|claim|row|sample|specimen|hospitali[sz]ation|observation|measurement|order)"
)
_PATIENT_KEY = re.compile(
    rf"(^|_){_PERSON}_?{_SUFFIX}$|^(patient|person|subject|participant|pid|mrn|medical_record_(number|no|id))$"
)
_RECORD_KEY = re.compile(rf"(^|_){_RECORD}_?(id|nbr|nr|no|key|uuid|guid|identifier)$")
_ANY_KEY = re.compile(r"(^|_)(id|uuid|guid|nbr|key|pk|sk|identifier|index)$|^(row|idx|unnamed_0|rownames)$")
_CODED = re.compile(r"(^|_)(id|cd|code|type|class|category|group|status|flag|level|grade|stage)$")
_CONCEPT = re.compile(r"(^|_)concept_id$")
_COUNTED = re.compile(
    r"(^|_)(age|ages|years?|months?|weeks?|days?|hours?|minutes?|seconds?|count|counts|duration|los|length|time"
    r"|weight|height|bmi|score|dose|quantity|amount|rate|pressure)($|_)|^(n|num|nr|number|no|total)_"
)


def words(name: str) -> str:
    """The words of a name in lower case, unaccented, with underscores: "PatientID" is "patient_id"."""
    plain = unicodedata.normalize("NFKD", name.replace("ß", "ss"))
    return "_".join(word.lower() for word in _WORD.findall(re.sub(r"[\u0300-\u036f]", "", plain)))


def is_patient_key(name: str) -> bool:
    """Whether a name says: key of a patient."""
    return bool(_PATIENT_KEY.search(words(name)))


def is_record_key(name: str) -> bool:
    """Whether a name says: key of an encounter, stay or other record."""
    return bool(_RECORD_KEY.search(words(name)))


def is_key(name: str) -> bool:
    """Whether a name says: key of something."""
    return bool(_ANY_KEY.search(words(name)))


def is_coded(name: str) -> bool:
    """Whether numbers under this name are labels."""
    return bool(_CODED.search(words(name)))


def is_concept(name: str) -> bool:
    """Whether numbers under this name are concepts of the OMOP vocabularies."""
    return bool(_CONCEPT.search(words(name)))


def is_counted(name: str) -> bool:
    """Whether numbers under this name count or measure something, so that their order means something."""
    text = words(name)
    return bool(_COUNTED.search(text)) and not is_coded(name)
