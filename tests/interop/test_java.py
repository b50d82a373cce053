"""The Java client as it is built and used: its tests, its artefacts, and a service with a database."""

from __future__ import annotations

import csv
import os
import re
import struct
import subprocess
import uuid
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from drivers import JAVA, MAVEN, ROOT, alone, command, need
from pages import blocks

import kohort

pytestmark = [pytest.mark.interop, pytest.mark.timeout(900)]

EXAMPLE = JAVA / "example"
JAVA_11 = 55
NAME = f"kohort-client-{kohort.__version__}"
WARDS = ("Zürich – Öst", "日本語", 'O\'Hara "A"', "")
COLUMNS = "sex, born, ward, weight, smoker, chol, oldpeak, admitted, discharged"


@pytest.fixture(scope="module")
def built() -> Path:
    """The folder of the built and tested client, with everything that is published."""
    need("javac")
    need("mvn")
    with alone():
        command(*MAVEN, "install", "-Prelease", cwd=JAVA)
    return JAVA / "target"


def classes(jar: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(jar) as archive:
        for name in archive.namelist():
            if name.endswith(".class"):
                yield name, archive.read(name)


def test_the_jar_holds_what_it_promises(built: Path) -> None:
    jar = built / f"{NAME}.jar"
    versions = {struct.unpack(">H", code[6:8])[0] for _, code in classes(jar)}
    assert versions == {JAVA_11}
    packages = {name.rpartition("/")[0] for name, _ in classes(jar)}
    assert packages == {"io/kohort/client", "io/kohort/client/jdbc", "io/kohort/v1"}
    with zipfile.ZipFile(jar) as archive:
        manifest = archive.read("META-INF/MANIFEST.MF").decode().splitlines()
        for proto in (ROOT / "protos" / "kohort" / "v1").glob("*.proto"):
            assert archive.read(f"kohort/v1/{proto.name}") == proto.read_bytes()
        assert archive.read("META-INF/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert "Automatic-Module-Name: io.kohort.client" in manifest


def test_sources_and_javadoc_are_there(built: Path) -> None:
    with zipfile.ZipFile(built / f"{NAME}-sources.jar") as archive:
        names = set(archive.namelist())
    assert {"io/kohort/client/KohortClient.java", "io/kohort/v1/Column.java"} <= names
    with zipfile.ZipFile(built / f"{NAME}-javadoc.jar") as archive:
        pages = archive.namelist()
    assert any(page.endswith("io/kohort/client/KohortClient.html") for page in pages)
    assert any(page.endswith("io/kohort/client/jdbc/Jdbc.html") for page in pages)
    assert not any("/v1/" in page for page in pages)


def test_the_same_classes_run_on_protobuf_4(built: Path) -> None:
    before = dict(classes(built / f"{NAME}.jar"))
    with alone():
        command(*MAVEN, "verify", "-Pprotobuf4", cwd=JAVA)
    assert dict(classes(built / f"{NAME}.jar")) == before


@pytest.fixture(scope="module")
def hospital(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A database with patients, and nothing yet in the table of synthetic ones."""
    with alone():
        command(*MAVEN, "package", cwd=EXAMPLE)
    database = Database(tmp_path_factory.mktemp("hospital"))
    database.run((EXAMPLE / "schema.sql").read_text() + "\n".join(map(insert, range(len(HEART)))))
    return database


class Database:
    """An H2 database in a folder; every use is a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"jdbc:h2:{folder / 'hospital'}"

    def run(self, sql: str) -> None:
        """Runs a script."""
        script = self.folder / "script.sql"
        script.write_text(sql, encoding="utf-8")
        java("org.h2.tools.RunScript", "-url", self.url, "-user", "sa", "-script", script)

    def query(self, sql: str) -> list[dict[str, str | None]]:
        """The rows of a query, as text; null as None."""
        out = self.folder / "rows.csv"
        options = "charset=UTF-8 null=NULL"
        self.run(f"CALL CSVWRITE('{out}', '{sql.replace(chr(39), chr(39) * 2)}', '{options}');")
        with out.open(newline="", encoding="utf-8") as file:
            return [
                {name: None if cell == "NULL" else cell for name, cell in row.items()}
                for row in csv.DictReader(file)
            ]


def java(program: str, *words: str | Path) -> str:
    """What a Java program printed; all its output where it failed."""
    path = os.pathsep.join(str(EXAMPLE / "target" / part) for part in ("classes", "dependency/*"))
    flags = ("-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8")
    run = subprocess.run(
        ["java", *flags, "-cp", path, program, *map(str, words)],
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]
    return run.stdout


with (ROOT / "tests" / "data" / "heart.csv").open(newline="") as source:
    HEART = list(csv.DictReader(source))


def insert(i: int) -> str:
    """A heart patient with columns of the types that a hospital has."""
    row = HEART[i]
    admitted = datetime(2024, 1, 1, 8, 30) + timedelta(hours=7 * i, microseconds=i)
    discharged = (admitted + timedelta(days=2)).isoformat(" ") + "+01:00"
    cells = (
        str(uuid.UUID(int=i)),
        "M" if row["sex"] == "1" else "F",
        date(2024 - int(row["age"]), 1 + i % 12, 1 + i % 28).isoformat() if i % 19 else None,
        WARDS[i % len(WARDS)],
        f"{55 + i % 40}.{i % 10}",
        ("TRUE", "FALSE", None)[i % 3],
        row["chol"] if i % 17 else None,
        row["oldpeak"],
        admitted.isoformat(" "),
        discharged if i % 5 else None,
    )
    values = ", ".join("NULL" if cell is None else "'" + cell.replace("'", "''") + "'" for cell in cells)
    return f"INSERT INTO patients VALUES ({values});"


def test_a_hospital_learns_a_table_and_fills_another(hospital: Database, server: str) -> None:
    said = java("io.kohort.example.Hospital", server, f"{hospital.url};USER=sa", "1500")
    again = java("io.kohort.example.Hospital", server, f"{hospital.url};USER=sa", "500")
    assert f"uploaded {len(HEART)} patients" in said
    assert "fitting" in said and "wrote 1500 synthetic patients" in said
    assert "synthetic_patients: 2000 patients" in again
    real = hospital.query(f"SELECT {COLUMNS} FROM patients")
    made = hospital.query(f"SELECT model, {COLUMNS} FROM synthetic_patients")
    assert len(made) == 2000
    assert len({row["MODEL"] for row in made}) == 2
    for column in ("SEX", "WARD", "SMOKER"):
        assert {row[column] for row in made} == {row[column] for row in real}, column
    for column in ("BORN", "CHOL", "DISCHARGED"):
        nulls = sum(row[column] is None for row in made) / len(made)
        expected = sum(row[column] is None for row in real) / len(real)
        assert abs(nulls - expected) < 0.05, column
    weights = [float(row["WEIGHT"] or "nan") for row in made]
    assert 55 <= min(weights) <= max(weights) < 95
    assert all((row["WEIGHT"] or "")[-2] == "." for row in made)
    assert all("2024" <= (row["ADMITTED"] or "") < "2025" for row in made)


def test_nothing_stays_where_a_row_is_refused(hospital: Database, server: str) -> None:
    hospital.run("DELETE FROM synthetic_patients; ALTER TABLE synthetic_patients ADD CHECK (oldpeak < 3.0);")
    with pytest.raises(AssertionError, match="23513"):  # H2: a check constraint
        java("io.kohort.example.Hospital", server, f"{hospital.url};USER=sa", "3000")
    assert hospital.query("SELECT COUNT(*) AS n FROM synthetic_patients") == [{"N": "0"}]


KNOWN = {
    "client": "KohortClient",
    "model": "Model",
    "dataset": "Dataset",
    "patients": "java.util.List<Patient>",
    "vault": "Vault",
    "statement": "java.sql.Statement",
    "connection": "java.sql.Connection",
}
AROUND = """
import io.kohort.client.*;
import io.kohort.client.jdbc.*;
import io.kohort.v1.ColumnKind;
import io.kohort.v1.ColumnOverride;
import io.kohort.v1.Dataset;
import io.kohort.v1.Handling;
import io.kohort.v1.JobUpdate;
import io.kohort.v1.Model;
import io.kohort.v1.SchemaOverrides;
import java.nio.file.Path;
import java.sql.ResultSet;

abstract class Page {
  record Patient(String id, long age, java.math.BigDecimal weight, java.time.LocalDate born) {}
  interface Vault { String currentToken(); }
"""


def test_what_the_readme_shows_compiles(built: Path, tmp_path: Path) -> None:
    page = (JAVA / "README.md").read_text().partition("\n## Connecting\n")[2]
    shown = blocks(page, "java")
    assert len(shown) >= 5
    source = AROUND
    for number, block in enumerate(shown):
        given = [
            f"{kind} {name}" for name, kind in KNOWN.items() if not re.search(rf"\b[A-Z]\w+ {name} =", block)
        ]
        source += f"  void block{number}({', '.join(given)}) throws Exception {{\n{block}  }}\n"
    (tmp_path / "Page.java").write_text(source + "}\n", encoding="utf-8")
    path = os.pathsep.join(str(built / part) for part in ("classes", "dependency/*"))
    command("javac", "-encoding", "UTF-8", "-d", tmp_path, "-cp", path, tmp_path / "Page.java")
