"""The page for other languages: its Kotlin is built and run, what its C# names is generated."""

from __future__ import annotations

import csv
import os
import platform
import re
import subprocess
import zipfile
from pathlib import Path

import pytest
from drivers import COPYING, JAVA, MAVEN, ROOT, command, install_java, need
from pages import addressed, printed

pytestmark = [pytest.mark.interop, pytest.mark.timeout(900)]

PAGE = ROOT / "docs" / "other-languages.md"


def only(heading: str, language: str) -> str:
    """The one block of a language below a heading."""
    (block,) = printed(PAGE, heading, language)
    return block


def test_kotlin(server: str, tmp_path: Path) -> None:
    install_java()
    (tmp_path / "pom.xml").write_text(only("Kotlin", "xml"))
    (tmp_path / "patients.csv").write_bytes((ROOT / "tests" / "data" / "heart.csv").read_bytes())
    sources = tmp_path / "src" / "main" / "kotlin"
    sources.mkdir(parents=True)
    (sources / "Main.kt").write_text(addressed(only("Kotlin", "kotlin"), server))
    # A compiler in this process: the daemon would outlive the test.
    goals = ("-Dkotlin.compiler.daemon=false", "compile", f"{COPYING}:copy-dependencies")
    command(*MAVEN, *goals, cwd=tmp_path)
    path = os.pathsep.join(("target/classes", "target/dependency/*"))
    run = subprocess.run(
        ["java", "-cp", path, "MainKt"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    phases, found, rows = run.stdout.partition("age,")
    assert found
    assert phases.splitlines()[-1] == "publishing"
    people = list(csv.DictReader((found + rows).splitlines()))
    assert len(people) == 5
    assert all(20 <= int(person["age"]) <= 90 for person in people)


def test_csharp(tmp_path: Path) -> None:
    need("mvn")
    version = re.search(r"<protobuf.version>([\d.]+)<", (JAVA / "pom.xml").read_text())
    assert version
    machine = {"aarch64": "aarch_64", "arm64": "aarch_64"}.get(platform.machine(), platform.machine())
    system = {"Darwin": "osx"}.get(platform.system(), platform.system().lower())
    for artifact in (f"protoc:{version[1]}:exe:{system}-{machine}", f"protobuf-java:{version[1]}"):
        what = (f"-Dartifact=com.google.protobuf:{artifact}", f"-DoutputDirectory={tmp_path}")
        command(*MAVEN, f"{COPYING}:copy", *what, cwd=tmp_path)
    (protoc,) = tmp_path.glob("protoc-*.exe")
    protoc.chmod(0o755)
    (jar,) = tmp_path.glob("protobuf-java-*.jar")
    with zipfile.ZipFile(jar) as packed:
        packed.extractall(tmp_path, [name for name in packed.namelist() if name.endswith(".proto")])
    protos = sorted(str(path.relative_to(ROOT / "protos")) for path in (ROOT / "protos").rglob("*.proto"))
    out = tmp_path / "out"
    out.mkdir()
    includes = ("--proto_path", ROOT / "protos", "--proto_path", tmp_path)
    command(protoc, *includes, "--csharp_out", out, "--csharp_opt", "base_namespace=", *protos)
    files = {path.stem: path.read_text() for path in out.rglob("*.cs")}
    assert len(files) == len(protos)
    assert all("\nnamespace Kohort.V1 {" in text for text in files.values())
    shown, made = only("C#", "csharp"), files["Sampling"]
    assert "using Kohort.V1;" in shown
    fields = re.findall(r"[{,] (\w+) = ", shown)
    assert len(fields) == 4
    for name in fields:
        assert re.search(rf"public [\w.:<>]+ {name} {{", made), name
    assert "SampleFormat.Csv" in shown
    assert re.search(r'OriginalName\("SAMPLE_FORMAT_CSV"\)\] Csv = ', made)
    assert "SampleResponse.PartOneofCase.Chunk" in shown
    assert re.search(r"public enum PartOneofCase {[^}]*\bChunk = ", made)
