"""Likely identifiers are never learned without a word, reported, and told from clinical columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kohort.columns import Array
from kohort.fakes import FAKES, fake_column, supported
from kohort.problem import Problem
from kohort.schema import (
    Column,
    ColumnOverride,
    Handling,
    Kind,
    Schema,
    SchemaOverrides,
    Storage,
    TableOverride,
    TableSchema,
)
from tables import checksums
from tables.detectors import LETTERS
from tables.identifiers import DETECTORS, check_trainable
from tables.infer import infer, physicalise_all
from tables.tableset import Table, TableSet
from tests.tables.test_infer import one
from tests.tables.zoo import ZOO, zoo

FATES = {"DIRECT_IDENTIFIER": Handling.DROP, "IDENTIFIER_REGENERATED": Handling.REGENERATE}


def overridden(tables, *changes, declared=None):
    return infer(tables, declared, SchemaOverrides(changes))


def column_of(inferred):
    return inferred.schema.tables[0].columns[0]


def reasons(inferred, name="a"):
    return [f.reason for f in inferred.findings if f.column == name]


def test_every_class_of_safe_harbor_has_a_detector():
    assert {d.letter for d in DETECTORS} == set(LETTERS)
    assert "".join(LETTERS) == "ABCDEFGHIJKLMNOPQR"
    assert all(d.fake in ("", *FAKES) for d in DETECTORS)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    from tables.readers import read_file

    path = tmp_path_factory.mktemp("zoo") / "zoo.csv"
    path.write_bytes(zoo())
    tables = TableSet({"t": read_file(path, "csv", "t")})
    return tables, infer(tables)


@pytest.mark.parametrize("name", ZOO)
def test_cells_give_away_what_a_column_holds(seen, name):
    letter, fake, _ = ZOO[name]
    column = seen[1].schema.tables[0].column(name)
    (finding,) = [f for f in seen[1].findings if f.column == name]
    assert f"(Safe Harbor class {letter})" in finding.message
    assert column.handling_reason == finding.reason
    assert (column.handling, column.fake) == (
        (Handling.REGENERATE, _fit(fake, column)) if fake else (Handling.DROP, "")
    )


def _fit(fake, column):
    return fake if supported(fake, column.storage) else "number"


def test_what_is_left_of_the_zoo_is_learned_and_no_finding_holds_a_cell(seen):
    tables, inferred = seen
    assert {c.name for c in inferred.schema.tables[0].columns if c.handling is Handling.MODEL} == {
        "sex",
        "systolic",
    }
    check_trainable(inferred)
    cells = {str(cell) for array in tables.single().arrays.values() for cell in array.to_python()}
    said = " ".join(f.message for f in inferred.findings)
    assert not [cell for cell in cells if len(cell) > 3 and cell in said]
    assert infer(physicalise_all(tables, inferred.schema)) == inferred
    assert infer(tables, inferred.schema) == inferred


NAMED = [
    ("FirstName", ["Ada", "Grace"], "A", "given_name"),
    ("Vorname", ["Ada", "Grace"], "A", "given_name"),
    ("Prénom", ["Ada", "Grace"], "A", "given_name"),
    ("apellidos", ["Ada", "Grace"], "A", "family_name"),
    ("patient_name", ["Ada", "Grace"], "A", "name"),
    ("PT_NAME", ["Ada", "Grace"], "A", "name"),
    ("doctor", ["Ada", "Grace"], "A", "name"),
    ("Straße", [f"Am Hang {i}" for i in range(200)], "B", "address"),
    ("zip", [f"{i:05d}" for i in range(10115, 10315)], "B", "postcode"),
    ("latitude", [52.5 + i / 977 for i in range(200)], "B", ""),
    ("Telefon", [f"0{i}" for i in range(300000, 300200)], "D", "phone"),
    ("fax_no", [f"0{i}" for i in range(300000, 300200)], "E", "phone"),
    ("SSN", list(range(123456000, 123456200)), "G", "ssn"),
    ("MRN_2", [f"{i:07d}" for i in range(200)], None, None),
    ("chart_number", [f"{i:07d}" for i in range(200)], "H", "mrn"),
    ("PT_NO", list(range(31415, 32415, 5)), "H", "number"),
    ("Versichertennummer", [f"X{i:05d}" for i in range(200)], "I", "plan"),
    ("account_number", list(range(1, 9999, 37)), "J", "number"),
    ("licence_plate", ["B-AB 12", "B-CD 34"], "L", "licence"),
    ("driver_license_no", [f"L{i}" for i in range(200)], "K", "licence"),
    ("device_serial_number", [f"SN{i}" for i in range(200)], "M", "device"),
    ("fingerprint", [f"x{i}" for i in range(200)], "P", ""),
    ("patient_photo", [f"x{i}" for i in range(200)], "Q", ""),
    ("passport_no", [f"C{i}" for i in range(200)], "R", "national_id"),
    ("jumin_no", [f"C{i}" for i in range(200)], "R", "national_id"),
]


@pytest.mark.parametrize(("name", "values", "letter", "fake"), NAMED, ids=[case[0] for case in NAMED])
def test_names_give_away_what_a_column_holds(name, values, letter, fake):
    tables = one(values, name)
    inferred = infer(tables)
    column = column_of(inferred)
    if letter is None:  # digits behind a name that is else an identifier's
        assert column.handling is not Handling.MODEL
        return
    (finding,) = [f for f in inferred.findings if f.column == name]
    assert FATES[finding.reason] is column.handling is (Handling.REGENERATE if fake else Handling.DROP)
    assert (column.fake, column.handling_reason) == (fake, finding.reason)
    assert f"(Safe Harbor class {letter})" in finding.message
    assert infer(physicalise_all(tables, inferred.schema)) == inferred
    assert not inferred.unacknowledged


@pytest.mark.parametrize("name", ["contact", "where", "SSN", "latitude"])
def test_a_person_decides_otherwise(name):
    values = {"contact": "a{}@example.org", "where": "{} Long Road"}.get(name)
    rows = range(100, 300)
    tables = one(
        [values.format(i) if values else 123456 + 7.5 * i * (name == "latitude") + i for i in rows], name
    )
    whole = name != "latitude"
    learned = ColumnOverride(name, kind=Kind.DECIMAL if not whole else Kind.CATEGORY, handling=Handling.MODEL)
    assert column_of(overridden(tables, ColumnOverride(name, handling=Handling.DROP))).handling_reason == ""
    refused = overridden(tables, learned)
    assert column_of(refused).handling is Handling.DROP
    with pytest.raises(Problem) as raised:
        check_trainable(refused)
    assert (raised.value.reason, raised.value.violations[0].field) == (
        "IDENTIFIER_UNACKNOWLEDGED",
        f"t.{name}",
    )
    assert infer(tables, refused.schema) == refused
    said = ColumnOverride(name, kind=learned.kind, handling=Handling.MODEL, acknowledge_identifier=True)
    for declared in (None, refused.schema):
        taken = overridden(tables, said, declared=declared)
        assert (column_of(taken).handling, taken.unacknowledged) == (Handling.MODEL, ())
    if whole:
        key = overridden(tables, ColumnOverride(name, kind=Kind.ID))
        assert (column_of(key).handling_reason, column_of(key).fake) == ("KEY_REGENERATED", "")
        fresh = overridden(tables, ColumnOverride(name, handling=Handling.REGENERATE))
        assert reasons(fresh, name) == ["IDENTIFIER_REGENERATED"]
        assert column_of(fresh).fake
        assert infer(tables, fresh.schema) == fresh


def test_a_kind_of_fakes_asks_for_fakes():
    tables = one(["red", "blue"], "team")
    for change in (
        ColumnOverride("team", fake="phone"),
        ColumnOverride("team", handling=Handling.REGENERATE, fake="phone"),
    ):
        found = overridden(tables, change)
        column = column_of(found)
        assert (column.handling, column.fake, column.handling_reason) == (Handling.REGENERATE, "phone", "")
        assert reasons(found, "team") == ["IDENTIFIER_REGENERATED"]
        assert infer(tables, found.schema) == found
        undone = overridden(tables, ColumnOverride("team", handling=Handling.MODEL), declared=found.schema)
        assert (column_of(undone).handling, column_of(undone).fake) == (Handling.MODEL, "")


@pytest.mark.parametrize(
    ("values", "change"),
    [
        (["red", "blue"], ColumnOverride("a", fake="blood")),
        ([1, 2, 3], ColumnOverride("a", fake="email")),
        ([0.5, 1.5], ColumnOverride("a", fake="number")),
        (["red", "blue"], ColumnOverride("a", handling=Handling.DROP, fake="email")),
        (["red", "blue"], ColumnOverride("a", handling=Handling.MODEL, fake="email")),
    ],
)
def test_fakes_that_cannot_be_had_are_refused(values, change):
    with pytest.raises(Problem) as refused:
        overridden(one(values), change)
    assert (refused.value.reason, refused.value.violations[0].field) == ("INVALID_SCHEMA", "t.a")


def test_keys_stay_keys():
    table = infer(one([f"{i:07d}" for i in range(200)], "MRN")).schema.tables[0]
    assert (table.subject_key, table.columns[0].handling_reason) == ("MRN", "KEY_REGENERATED")
    tables = one([f"{i:07d}" for i in range(200)], "chart_number")
    change = SchemaOverrides((), (TableOverride(subject_key="chart_number"),))
    column = column_of(infer(tables, overrides=change))
    assert (column.kind, column.handling_reason, column.fake) == (Kind.ID, "KEY_REGENERATED", "")
    assert infer(tables).schema.tables[0].primary_key == ()


def test_a_mark_for_unknown_hides_no_addresses():
    cells = ["unknown"] * 300 + [f"a{i}@example.org" for i in range(200)]
    inferred = infer(one(cells, "contact", rows=500))
    assert column_of(inferred).fake == "email"


def test_rows_that_are_counted_hold_no_serial_numbers():
    column = column_of(infer(one(list(range(1, 201)), "serial_no")))
    assert (column.handling_reason, column.fake) == ("KEY_REGENERATED", "")


def _patients(values, name, patients):
    """Values of patients who each have two rows."""
    arrays = {
        "person_id": Array.make(Storage.INT64, np.repeat(np.arange(patients), 2)),
        name: Array.make(Storage.INT64, np.asarray(values)),
    }
    schema = TableSchema("t", tuple(Column(n, storage=Storage.INT64) for n in arrays))
    return TableSet({"t": Table(schema, arrays)})


@pytest.mark.parametrize(("old", "told"), [(4, False), (5, True)])
def test_ages_above_89_are_reported_where_enough_patients_have_one(old, told):
    ages = np.repeat(np.where(np.arange(60) < old, 93, 40 + np.arange(60) % 30), 2)
    inferred = infer(_patients(ages, "age", 60))
    assert ("QUASI_IDENTIFIER" in reasons(inferred, "age")) is told
    assert inferred.schema.tables[0].column("age").handling is Handling.MODEL


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("admitted", ["2020-01-01", "2020-02-01"]),
        ("PLZ", [10115, 10117]),
        ("postal_code", ["10115", "10117"]),
        ("Wohnort", ["Berlin", "Bonn"]),
        ("day_of_birth", [1, 2, 3]),
    ],
)
def test_dates_and_places_are_learned_and_reported(name, values):
    tables = one(values, name)
    inferred = infer(tables)
    assert (column_of(inferred).handling, column_of(inferred).handling_reason) == (Handling.MODEL, "")
    assert reasons(inferred, name) == ["QUASI_IDENTIFIER"]
    assert infer(physicalise_all(tables, inferred.schema)) == inferred
    assert reasons(overridden(tables, ColumnOverride(name, acknowledge_identifier=True)), name) == []
    check_trainable(inferred)


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (checksums.luhn, "4111111111111111", "4111111111111112"),
        (checksums.luhn, "490154203237518", "490154203237519"),
        (checksums.npi, "1234567893", "1234567890"),
        (checksums.nhs, "9434765919", "9434765918"),
        (checksums.bsn, "111222333", "111222334"),
        (checksums.iban, "GB82WEST12345698765432", "GB83WEST12345698765432"),
        (checksums.iban, "DE89370400440532013000", "DE89370400440532013001"),
        (checksums.vin, "1M8GDM9AXKP042788", "1M8GDM9A0KP042788"),
        (checksums.dea, "BB1388568", "BB1388567"),
        (checksums.kvnr, "A123456780", "A123456781"),
        (checksums.dni, "12345678Z", "12345678A"),
        (checksums.dni, "X1234567L", "Y1234567L"),
        (checksums.nir, "255081416802538", "255081416802539"),
        (checksums.ean, "7569217076985", "7569217076984"),
        (checksums.cpf, "52998224725", "52998224726"),
    ],
)
def test_check_digits_are_those_of_published_examples(check, good, bad):
    assert check(good)
    assert not check(bad)


def test_the_page_tells_every_detector_and_every_fake():
    page = (Path(__file__).parents[2] / "docs/identifiers.md").read_text(encoding="utf-8")
    rows = {line[2]: line for line in page.splitlines() if line[:2] == "| " and line[3:5] == " |"}
    for detector in DETECTORS:
        row = rows[detector.letter]
        assert LETTERS[detector.letter] in row
        assert detector.what in row
        assert f"`{detector.fake}`" in row or not detector.fake
    for kind, fake in FAKES.items():
        column = Column("x", storage=Storage.STRING, fake=kind)
        (example,) = fake_column(column, 0, 0, 1).to_python()
        number = "yes" if fake.number else "no"
        assert f"| `{kind}` | `{example}` | {fake.size:,} | {number} | {fake.why} |" in page


def test_declared_schemas_may_name_fakes():
    tables = one(["red", "blue"], "team")
    declared = Schema((TableSchema("t", (Column("team", handling=Handling.REGENERATE, fake="mrn"),)),))
    column = column_of(infer(tables, declared))
    assert (column.handling, column.fake) == (Handling.REGENERATE, "mrn")
