"""Fresh fakes: cells for columns that are regenerated, none of which stems from a real one.

The fake of unit i is a function of the seed, the column's name and i alone. A
kind of fake has a domain of D fakes, numbered from 0; unit i gets the one of
number P(i mod D), where P permutes the domain, so that no fake occurs twice
among D units from a multiple of D on. P is a Feistel network of six rounds on
2h bits, h the least with 2^2h >= D, applied again as long as the result lies
outside the domain (Black and Rogaway, "Ciphers with arbitrary finite domains",
CT-RSA 2002). A round takes halves (a, b) of h bits each, a the high one, to

    (b, a xor (mix(b + k) mod 2^h)),

`mix` being the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) and
all sums modulo 2^64. The round keys k are the first six raw words of
Philox4x64-10 (see `kohort.noise`) with key (seed, 0) and counter (0, t, i div D,
2), where t is the first eight bytes, little-endian, of the SHA-256 of the
column's name. The permutation scatters; it keeps nothing secret, and need not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kohort.columns import Array
from kohort.schema import Column, Storage

Numbers = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

ROUNDS = 6
_WORD = (1 << 64) - 1
_SYLLABLES = [a + b for a in "bdklmnrstv" for b in "aeo"] + ["li", "ri"]


@dataclass(frozen=True)
class Fake:
    """A kind of fakes: how many there are, how one looks as a text, why none is real."""

    size: int
    text: Callable[[int], str]
    why: str
    number: Callable[[Numbers], Numbers] | None = None
    """The fakes of some numbers [n] as whole numbers, of which `text` makes texts; None: texts only,
    which `text` makes of the fake's number itself."""


def supported(fake: str, storage: Storage) -> bool:
    """Whether columns of a storage can hold a kind of fakes; "" are keys."""
    if storage not in (Storage.INT64, Storage.STRING):
        return False
    kind = FAKES.get(fake or "key")
    return kind is not None and (storage is Storage.STRING or kind.number is not None)


def fake_column(column: Column, seed: int, start: int, stop: int) -> Array:
    """The fakes of units [start, stop) for a column that is regenerated; none is null.

    Args:
        column: its `fake` names a kind of `FAKES` ("": keys), its storage is STRING or INT64.
        seed: any int64; taken modulo 2^64.
        start: the first unit.
        stop: the unit after the last; units are below 2^53.

    Raises:
        KeyError: for a kind that there is not.
    """
    kind = FAKES[column.fake or "key"]
    units = np.arange(start, stop, dtype=np.int64)
    numbers = units if kind is _KEY else _permuted(units, kind.size, seed, column.name)
    if kind.number is not None:
        numbers = kind.number(numbers)
    if column.storage is not Storage.STRING:
        return Array(column.storage, numbers)
    return Array(column.storage, np.array([kind.text(j) for j in numbers.tolist()], dtype=object))


def _permuted(units: Numbers, size: int, seed: int, name: str) -> Numbers:
    """The number of each unit's fake in a domain of `size`, [n]."""
    tag = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    cycles, within = np.divmod(units, size)
    found = np.empty_like(units)
    for cycle in np.unique(cycles):
        of_cycle = cycles == cycle
        found[of_cycle] = _permutation(within[of_cycle], size, _keys(seed, tag, int(cycle)))
    return found


def _keys(seed: int, tag: int, cycle: int) -> Words:
    key = np.array([seed & _WORD, 0], dtype=np.uint64)
    counter = np.array([0, tag, cycle, 2], dtype=np.uint64)
    return np.asarray(np.random.Philox(key=key, counter=counter).random_raw(ROUNDS), dtype=np.uint64)


def _permutation(numbers: Numbers, size: int, keys: Words) -> Numbers:
    half = -(-max(1, (size - 1).bit_length()) // 2)
    found = _feistel(numbers.astype(np.uint64), half, keys)
    outside = np.flatnonzero(found >= size)
    while outside.size:
        found[outside] = _feistel(found[outside], half, keys)
        outside = outside[found[outside] >= size]
    return found.astype(np.int64)


def _feistel(numbers: Words, half: int, keys: Words) -> Words:
    mask, shift = np.uint64((1 << half) - 1), np.uint64(half)
    high, low = numbers >> shift, numbers & mask
    for key in keys:
        high, low = low, high ^ (_mix(low + key) & mask)
    return (high << shift) | low


def _mix(z: Words) -> Words:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _luhn(numbers: Numbers) -> Numbers:
    """The digit that the Luhn formula puts behind each number."""
    total, rest, double = np.zeros_like(numbers), numbers.copy(), True
    while rest.any():
        digit = rest % 10
        total += np.where(digit > 4, 2 * digit - 9, 2 * digit) if double else digit
        rest, double = rest // 10, not double
    return -total % 10


def _failing(numbers: Numbers) -> Numbers:
    """Each number with a last digit that breaks the Luhn formula."""
    return numbers * 10 + (_luhn(numbers) + 5) % 10


def _large(j: Numbers) -> Numbers:
    return _failing(7 * 10**14 + j)


def _ssn(j: Numbers) -> Numbers:
    area, rest = np.divmod(j, 50 * 10**4)
    return (900 + area) * 10**6 + rest


def _ssn_text(number: int) -> str:
    digits = str(number)
    return f"{digits[:3]}-{digits[3:5]}-{digits[5:]}"


def _card(number: int) -> str:
    digits = f"{number:016d}"
    return " ".join(digits[i : i + 4] for i in range(0, 16, 4))


def _word(j: int, syllables: int) -> str:
    return "".join(_SYLLABLES[j >> 5 * i & 31] for i in range(syllables)).capitalize()


def _family(j: int) -> str:
    return f"Syn-{_word(j, 4)}"


def _ipv4(j: int) -> str:
    network, host = divmod(j, 254)
    return f"{('192.0.2', '198.51.100', '203.0.113')[network]}.{host + 1}"


def _mac(j: int) -> str:
    digits = f"02{j:010x}"
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2))


def _code(letter: str = "") -> Callable[[int], str]:
    return lambda j: f"SYN-{letter}{j:010d}"


def _coded(letter: str = "") -> Fake:
    return Fake(
        10**10,
        _code(letter),
        "it begins with SYN-, which marks it as synthetic; no registry is known to issue such",
    )


_KEY = Fake(
    1 << 53,
    lambda n: f"syn-{n - 1:012d}",
    "it counts the units: where it equals a real key, it does by chance",
    lambda units: units + 1,
)

FAKES: Mapping[str, Fake] = {
    "key": _KEY,
    "number": Fake(
        10**14,
        str,
        "sixteen digits from 7 on that break the Luhn formula, longer than record numbers are",
        _large,
    ),
    "name": Fake(
        1 << 35,
        lambda j: f"{_word(j >> 20, 3)} {_family(j)}",
        "words of syllables; the family name begins Syn-",
    ),
    "given_name": Fake(1 << 15, lambda j: f"Syn-{_word(j, 3)}", "syllables behind Syn-"),
    "family_name": Fake(1 << 20, _family, "syllables behind Syn-"),
    "address": Fake(
        9999 << 15,
        lambda j: f"{1 + (j >> 15)} Syn-{_word(j, 3)} Street",
        "a street of syllables behind Syn-, in no town",
    ),
    "postcode": Fake(500, lambda j: f"{j:05d}", "ZIP codes 00000 to 00499 are assigned to no place"),
    "phone": Fake(
        10**9,
        lambda j: f"+1-202-555-01{j % 100:02d} x{j // 100:07d}",
        "555-0100 to 555-0199 are kept for fiction (NANPA); the extension tells them apart",
    ),
    "email": Fake(
        1 << 40, lambda j: f"syn-{j:010x}@example.org", "example.org takes no mail (RFC 2606, RFC 6761)"
    ),
    "ssn": Fake(
        100 * 50 * 10**4,
        _ssn_text,
        "areas 900 to 999 are never issued (SSA), and of groups 00 to 49 there are no taxpayer numbers (IRS)",
        _ssn,
    ),
    "national_id": _coded("N"),
    "mrn": _coded(),
    "plan": _coded("P"),
    "account": _coded("A"),
    "iban": Fake(
        10**16,
        lambda j: f"XX00SYNT{j:016d}",
        "no country is XX (ISO 3166), and check digits are never 00 (ISO 13616)",
    ),
    "card": Fake(
        10**11, _card, "0 begins no payment card, and the Luhn formula fails (ISO/IEC 7812)", _failing
    ),
    "licence": _coded("L"),
    "vin": Fake(10**13, lambda j: f"SYNQ{j:013d}", "the letter Q occurs in no vehicle number (ISO 3779)"),
    "device": _coded("D"),
    "url": Fake(
        1 << 40,
        lambda j: f"https://example.org/syn/{j:010x}",
        "example.org is for examples (RFC 2606, RFC 6761)",
    ),
    "ipv4": Fake(3 * 254, _ipv4, "networks for documentation are not routed (RFC 5737)"),
    "ipv6": Fake(
        1 << 47,
        lambda j: f"2001:db8::{j >> 32 | 0x8000:x}:{j >> 16 & 0xFFFF:x}:{j & 0xFFFF:x}",
        "2001:db8::/32 is for documentation and not routed (RFC 3849)",
    ),
    "mac": Fake(
        1 << 40, _mac, "02 begins addresses of local administration, which no device is made with (IEEE 802)"
    ),
    "uuid": Fake(
        1 << 48,
        lambda j: f"{j >> 16:08x}-{j & 0xFFFF:04x}-8000-8000-73796e746865",
        "version 8 of RFC 9562, which random and time-based generators never make",
    ),
}
"""Every kind of fakes by the name that `Column.fake` gives; documented in docs/identifiers.md."""
