"""A file of made-up identifiers: cells with the form and the check digits of real ones, which name nobody."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable

from tables import checksums

ROWS = 240


def _checked(
    make: Callable[[random.Random], str], holds: Callable[[str], bool]
) -> Callable[[random.Random], str]:
    """Draws until the check digits hold."""

    def draw(rng: random.Random) -> str:
        while True:
            text = make(rng)
            if holds("".join(c for c in text if c.isalnum())):
                return text

    return draw


def _digits(pattern: str) -> Callable[[random.Random], str]:
    """A text of a pattern: # any digit, @ any letter, = a hexadecimal digit, else the sign itself."""
    signs = {"#": "0123456789", "@": "ABCDEFGHJKLMNPRSTUVWXYZ", "=": "0123456789abcdef"}
    return lambda rng: "".join(rng.choice(signs.get(c, c)) for c in pattern)


def _lower(rng: random.Random) -> str:
    return "".join(rng.choice("bdklmnrst") + rng.choice("aeiou") for _ in range(3))


ZOO: dict[str, tuple[str, str, Callable[[random.Random], str]]] = {
    # column: class of Safe Harbor, kind of fakes, how a cell is made up. No name gives its column away.
    "attending": ("A", "name", lambda rng: f"{_digits('@')(rng)}{_lower(rng)}, Grace"),
    "where": ("B", "address", lambda rng: f"{rng.randrange(1, 999)} {rng.choice(['Long', 'Old Mill'])} Road"),
    "wo": (
        "B",
        "address",
        lambda rng: f"{rng.choice(['Lange Straße', 'Gartenweg'])} {rng.randrange(1, 999)}",
    ),
    "ou": ("B", "address", lambda rng: f"{rng.randrange(1, 999)} rue du Moulin"),
    "area": ("B", "postcode", _digits("#####-####")),
    "reached": ("D", "phone", _digits("(2##) 555-01##")),
    "contact": ("F", "email", lambda rng: f"p{rng.randrange(10**6)}@example.org"),
    "reference": ("G", "ssn", _digits("1##-1#-####")),
    "coverage": ("I", "plan", _digits("1EG4-TE5-MK##")),
    "karte": ("I", "plan", _checked(_digits("@#########"), checksums.kvnr)),
    "bank": ("J", "iban", _checked(_digits("DE####################"), checksums.iban)),
    "paid_with": ("J", "card", _checked(_digits("4### #### #### ####"), checksums.luhn)),
    "prescriber": ("K", "licence", _checked(_digits("B@#######"), checksums.dea)),
    "car": ("L", "vin", _checked(_digits("1HG@@########@###"), checksums.vin)),
    "tag": ("M", "device", _digits("(01)##############")),
    "handset": ("M", "device", _checked(_digits("35#############"), checksums.luhn)),
    "adapter": ("M", "mac", _digits("==:==:==:==:==:==")),
    "page": ("N", "url", lambda rng: f"https://example.org/{rng.randrange(10**6)}"),
    "host": ("O", "ipv4", lambda rng: f"192.0.2.{rng.randrange(256)}"),
    "host6": ("O", "ipv6", _digits("2001:db8::=:1===")),
    "taken": ("Q", "", lambda rng: f"scan/{rng.randrange(10**6)}.jpg"),
    "health_no": ("R", "national_id", _checked(_digits("9## ### ####"), checksums.nhs)),
    "provider": ("R", "national_id", _checked(_digits("1#########"), checksums.npi)),
    "burger": ("R", "national_id", _checked(_digits("#########"), checksums.bsn)),
    "documento": ("R", "national_id", _checked(_digits("########@"), checksums.dni)),
    "secu": ("R", "national_id", _checked(_digits("2 8# 05 ## ### ### ##"), checksums.nir)),
    "ahv_karte": ("R", "national_id", _checked(_digits("756.####.####.##"), checksums.ean)),
    "cadastro": ("R", "national_id", _checked(_digits("###.###.###-##"), checksums.cpf)),
    "resident": ("R", "national_id", _digits("##0#1#-2######")),
    "rente": ("R", "national_id", _digits("##1#0###@###")),
    "insured_as": ("R", "national_id", _digits("AB ## ## ## C")),
    "codice": ("R", "national_id", _digits("@@@@@@##A##@###@")),
    "study_uid": ("R", "", _digits("1.2.840.1######.1#.3")),
    "case": ("R", "number", _digits("4########")),
}


def zoo(rows: int = ROWS) -> bytes:
    """A CSV with one column per kind of identifiers, and two to learn from."""
    rng = random.Random(3)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*ZOO, "sex", "systolic"])
    for i in range(rows):
        writer.writerow([*(make(rng) for _, _, make in ZOO.values()), "fm"[i % 2], 100 + i % 40])
    return out.getvalue().encode()
