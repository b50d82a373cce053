"""Detectors of class R of Safe Harbor: numbers that states and registries give, and unique codes."""

from __future__ import annotations

from tables import checksums
from tables.detectors import Detector, named, shaped

_HEX = "[0-9A-Fa-f]"
_MONTH_DAY = r"(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])"
_DAY_MONTH = r"(0[1-9]|[12][0-9]|3[01])(0[1-9]|1[0-2])"
_WHAT, _FAKE = "national or tax identifiers", "national_id"

OTHERS: tuple[Detector, ...] = (
    named(
        "R",
        _WHAT,
        _FAKE,
        "nhs(_?(number|no|nbr|nr))? national_?id tax_?id passport(_.*)? citizen_?id aadhaar rrn jumin.*"
        " curp codice_fiscale personnummer ahv(_?(nr|nummer))? steuer_?id(nr|nummer)?"
        " sozialversicherungs_?(nr|nummer) sv_?(nr|nummer) ausweis_?(nr|nummer) (reise)?pass_?(nr|nummer)"
        " numero_(de_)?securite_sociale npi",
        numbers=True,
    ),
    named("R", _WHAT, _FAKE, "nir dni nif nino tin cpf bsn", numbers=True, rare=True),
    shaped("R", "NHS numbers", _FAKE, r"^[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{4}$", check=checksums.nhs),
    shaped("R", "providers' numbers (NPI)", _FAKE, r"^[12][0-9]{9}$", check=checksums.npi),
    shaped("R", "Dutch citizen numbers", _FAKE, r"^[0-9]{9}$", check=checksums.bsn),
    shaped("R", "Spanish identity numbers", _FAKE, r"^([0-9]{8}|[XYZ][0-9]{7})-?[A-Z]$", check=checksums.dni),
    shaped(
        "R",
        "French social security numbers",
        _FAKE,
        r"^[12] ?[0-9]{2} ?[0-9]{2} ?([0-9]{2}|2[AB]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}$",
        check=checksums.nir,
    ),
    shaped(
        "R", "Swiss insurance numbers", _FAKE, r"^756\.?[0-9]{4}\.?[0-9]{4}\.?[0-9]{2}$", check=checksums.ean
    ),
    shaped(
        "R", "Brazilian taxpayer numbers", _FAKE, r"^([0-9]{3}\.?){2}[0-9]{3}-?[0-9]{2}$", check=checksums.cpf
    ),
    shaped("R", "Korean resident numbers", _FAKE, rf"^[0-9]{{2}}{_MONTH_DAY}-[1-8][0-9]{{6}}$"),
    shaped(
        "R", "German pension insurance numbers", _FAKE, rf"^[0-9]{{2}}{_DAY_MONTH}[0-9]{{2}}[A-Z][0-9]{{3}}$"
    ),
    shaped("R", "British insurance numbers", _FAKE, r"^[A-CEGHJ-PR-TW-Z]{2} ?([0-9]{2} ?){3}[A-D]$"),
    shaped("R", "Italian tax codes", _FAKE, r"^[A-Z]{6}[0-9]{2}[A-EHLMPRST][0-9]{2}[A-Z][0-9]{3}[A-Z]$"),
    shaped(
        "R",
        "unique identifiers (UUID)",
        "uuid",
        rf"^{_HEX}{{8}}-({_HEX}{{4}}-){{3}}{_HEX}{{12}}$",
        rare_shape=True,
    ),
    shaped("R", "object identifiers (OID)", "", r"^[012](\.(0|[1-9][0-9]*)){5,}$", rare_shape=True),
    Detector("R", "unique numbers of one length", fake="number"),
)
"""The last one is found by `tables.identifiers`: it is neither a name nor a pattern of one cell."""
