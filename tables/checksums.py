"""Check digits of identifiers. Every function takes letters and digits alone, in upper case."""

from __future__ import annotations

_VIN = {
    c: int(v)
    for c, v in zip(
        "ABCDEFGHJKLMNPRSTUVWXYZ0123456789", "12345678123457923456789" + "0123456789", strict=True
    )
}
_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"


def luhn(text: str) -> bool:
    """ISO/IEC 7812: payment cards, IMEI."""
    digits = [int(c) for c in reversed(text)]
    return sum(d if i % 2 == 0 else 2 * d - 9 * (d > 4) for i, d in enumerate(digits)) % 10 == 0


def npi(text: str) -> bool:
    """US National Provider Identifier: Luhn behind the prefix 80840 (CMS)."""
    return luhn("80840" + text)


def nhs(text: str) -> bool:
    """NHS number of ten digits: weights 10 to 2, modulo 11 (NHS Data Dictionary)."""
    check = 11 - sum(int(c) * w for c, w in zip(text[:9], range(10, 1, -1), strict=True)) % 11
    return check % 11 == int(text[9]) and check != 10


def bsn(text: str) -> bool:
    """Dutch citizen number of nine digits: weights 9 to 2 and -1, modulo 11."""
    weights = [*range(9, 1, -1), -1]
    return sum(int(c) * w for c, w in zip(text, weights, strict=True)) % 11 == 0 and int(text) > 0


def iban(text: str) -> bool:
    """ISO 13616: the first four letters behind the rest, letters as numbers, modulo 97."""
    return int("".join(str(int(c, 36)) for c in text[4:] + text[:4])) % 97 == 1


def vin(text: str) -> bool:
    """Vehicle number of 17: the ninth is the weighted sum modulo 11 (49 CFR 565.15)."""
    weights = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
    return "0123456789X"[sum(_VIN[c] * w for c, w in zip(text, weights, strict=True)) % 11] == text[8]


def dea(text: str) -> bool:
    """US registration to prescribe: two letters, seven digits."""
    d = [int(c) for c in text[2:]]
    return (d[0] + d[2] + d[4] + 2 * (d[1] + d[3] + d[5])) % 10 == d[6]


def kvnr(text: str) -> bool:
    """German health insurance number: a letter as two digits, weights 1 and 2, digit sums, modulo 10."""
    digits = [int(c) for c in f"{ord(text[0]) - 64:02d}{text[1:9]}"]
    weighted = [d * (1 + i % 2) for i, d in enumerate(digits)]
    return sum(w // 10 + w % 10 for w in weighted) % 10 == int(text[9])


def dni(text: str) -> bool:
    """Spanish identity number: eight digits (X, Y, Z stand for 0, 1, 2 before seven), modulo 23."""
    number = text[:-1].translate(str.maketrans("XYZ", "012"))
    return _DNI[int(number) % 23] == text[-1]


def nir(text: str) -> bool:
    """French social security number: 13 digits (2A and 2B stand for 19 and 18), key 97 less modulo 97."""
    number = int(text[:13].replace("2A", "19").replace("2B", "18"))
    return 97 - number % 97 == int(text[13:])


def ean(text: str) -> bool:
    """GS1 and Swiss insurance numbers: weights 1 and 3 from the left of 13 digits, modulo 10."""
    return sum(int(c) * (1 + 2 * (i % 2)) for i, c in enumerate(text)) % 10 == 0


def cpf(text: str) -> bool:
    """Brazilian taxpayer number: two check digits modulo 11."""
    for end in (9, 10):
        total = sum(int(c) * w for c, w in zip(text[:end], range(end + 1, 1, -1), strict=True))
        if total * 10 % 11 % 10 != int(text[end]):
            return False
    return True
