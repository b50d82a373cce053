"""Clinical columns are not mistaken for identifiers; odd ones are learned or dropped with a word."""

from __future__ import annotations

import random

import pytest

from kohort.schema import (
    Column,
    Handling,
    TableSchema,
)
from tables.infer import infer
from tables.tableset import Table, TableSet
from tests.tables.test_identifiers import FATES, column_of, reasons
from tests.tables.test_infer import one


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("name", ["aspirin", "ibuprofen"]),
        ("concept_name", ["Anemia, unspecified", "Colonoscopy, total"]),
        ("finding", ["Anemia, Iron", "Leukemia, Acute"]),
        ("site", ["cleveland", "long beach"]),
        ("address_type", ["home", "work"]),
        ("email", ["yes", "no"]),
        ("email_address", ["yes", "no"]),
        ("phone", [0, 1]),
        ("card", ["none", "one"]),
        ("description", ["Colonoscopy, total", "Appendectomy"]),
        ("range", ["100-200", "200-300"]),
        ("lasted", ["01:02:03:04", "02:10:00:00"]),
        ("ndc", [f"0002-75{i}-01" for i in range(10, 30)]),
        ("lat", ["left", "right"]),
        ("e_prime_lat", [5 + i / 97 for i in range(200)]),
        ("white_cell", [4000 + 13 * i for i in range(200)]),
        ("cell_number", [17 + 13 * i for i in range(200)]),
        ("device_code", [72506001, 360030002]),
        ("insurance_code", ["MC", "BC"]),
        ("ip", [1, 2, 3]),
        ("platelets", [150_000 + 613 * i for i in range(200)]),
        ("viral_load", [20 * 7**i for i in range(12)]),
        ("rbc_per_litre", [4_000_000_000_000 + 10_000_000 * i for i in range(200)]),
        ("entered_epoch", [1_600_000_000 + 86_413 * i for i in range(200)]),
        ("ferritin_ng", random.Random(1).sample(range(10**8, 10**9), 30)),
    ],
)
def test_ordinary_columns_are_no_identifiers(name, values):
    assert not set(reasons(infer(one(values, name)), name)) & set(FATES)


ORDINARY = """
    admission_type admission_location insurance language marital_status race first_careunit
    last_careunit charttime valuenum ref_range_lower flag priority spec_type_desc test_seq org_name
    ab_name icd_code drg_code ndc gsn route prod_strength dose_val_rx rate amount patient_weight
    heart_rate o2sat sbp temperature pain wbc hgb platelet_count cell_count red_cell_distribution_width
    csf_cells mobility portal_vein tel_score fax_scale lat_decubitus vin_grade mac_score
    nir_signal_ratio udi_score mbi_total npi_score unit_number lot_number page_number line_number
    phone_calls email_consent card_type account_type plan_type device_type licence_type drug_name
    test_name brand_name department_name hospital_name ward_name file_name variable_name category_name
    strain_name gene_name study_name last_visit first_dose family_history family_size name_flag
    age_group stage provider_specialty contact_date street_drugs zip3_risk ip_score fingerprint_score
    county_rate_of_disease
"""


@pytest.mark.parametrize("cell", [lambda i: 17 + 13 * i, lambda i: f"v{i}", lambda i: 1.5 + i / 7])
def test_names_of_clinical_columns_tell_of_no_identifier(cell):
    values = [cell(i) for i in range(80)]
    columns = {name: one(values, name).single().arrays[name] for name in ORDINARY.split()}
    schema = TableSchema("t", tuple(Column(name, storage=array.storage) for name, array in columns.items()))
    inferred = infer(TableSet({"t": Table(schema, columns)}))
    assert not [f for f in inferred.findings if f.reason in {*FATES, "QUASI_IDENTIFIER"}]


def test_check_digits_that_hold_by_chance_tell_nothing():
    rng = random.Random(5)
    for low, high in ((10**8, 10**9), (10**9, 2 * 10**9), (4 * 10**15, 5 * 10**15)):
        values = [rng.randrange(low, high) // 10 * 10 + 3 for _ in range(80)]
        repeated = [v for v in values for _ in range(6)]  # shared by enough: no unique number
        assert not set(reasons(infer(one(repeated, "assay", rows=480)), "assay")) & set(FATES)


@pytest.mark.parametrize(
    ("file", "format"),
    [
        ("heart.csv", "csv"),
        ("diabetes_130us_excerpt.csv", "csv"),
        ("synthea_encounters_excerpt.parquet", "parquet"),
    ],
)
def test_no_column_of_the_real_tables_is_mistaken(data, file, format):
    from tables.readers import read_file

    inferred = infer(TableSet({"t": read_file(data / file, format, "t")}))
    assert not {f.reason for f in inferred.findings} & {*FATES, "IDENTIFIER_UNACKNOWLEDGED"}


MIXTURES = [
    # numbers beside labels that enough patients share: learned, and said
    (["<5"] * 300 + [str(i) for i in range(200)], "RARE_VALUES_PROTECTED", Handling.MODEL),
    # numbers of their own beside a few labels: dropped, with the way out
    (["<5"] * 100 + [str(i) for i in range(400)], "NEARLY_UNIQUE", Handling.DROP),
    # codes and numbers alike are labels
    (["1", "2", "3", "A", "B"] * 100, None, Handling.MODEL),
    ([f"word{i}" for i in range(500)], "NEARLY_UNIQUE", Handling.DROP),
    (["same"] * 500, None, Handling.MODEL),
    (["same"] * 250 + [None] * 250, None, Handling.MODEL),
    ([None] * 490 + ["a", "b"] * 5, None, Handling.MODEL),
    ([None] * 499 + ["a"], "NEARLY_UNIQUE", Handling.DROP),
]


@pytest.mark.parametrize(("cells", "reason", "handling"), MIXTURES)
def test_mixed_unique_constant_and_nearly_empty_columns_are_learned_or_dropped_by_name(
    cells, reason, handling
):
    inferred = infer(one(cells, "crp", rows=500))
    assert column_of(inferred).handling is handling
    assert reasons(inferred, "crp") == ([reason] if reason else [])


def test_mixed_cells_of_a_file_say_how_they_would_be_learned(read):
    cells = "\n".join([*(f"{i}.5" for i in range(300)), *["haemolysed"] * 40])
    tables = TableSet({"t": read(f"crp\n{cells}\n".encode())})
    (finding,) = [f for f in infer(tables).findings if f.column == "crp"]
    assert finding.reason == "NEARLY_UNIQUE"
    assert "numbers and texts are mixed" in finding.message
