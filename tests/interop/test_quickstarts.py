"""The quickstart of each client's README, run as printed against a real server.

Only the address is another. What a README presumes is there: a file
`patients.csv` in the folder where it runs, and the client as its users have it.
"""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from drivers import COPYING, GO, JAVA, MAVEN, NODE, ROOT, alone, command, install_java, need
from pages import addressed, printed

pytestmark = [pytest.mark.interop, pytest.mark.timeout(900)]

MODULE = "github.com/kohort-health/kohort/clients/go"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty folder but for the user's own table."""
    with (ROOT / "tests" / "data" / "heart.csv").open(newline="") as source:
        rows = [{"patient_id": str(i), **row} for i, row in enumerate(csv.DictReader(source), 1)]
    with (tmp_path / "patients.csv").open("w", newline="") as target:
        writer = csv.DictWriter(target, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path


def quickstart(page: Path, language: str) -> str:
    """The first block of a language; what follows it goes on from there."""
    return printed(page, "Quickstart", language)[0]


def output(*words: str | Path, cwd: Path) -> str:
    """What a program printed; all its output where it failed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"{run.stdout[-4000:]}{run.stderr[-4000:]}"
    return run.stdout


def check_rows(text: str) -> None:
    """At least five lines, not all alike, each with somebody's age among other numbers."""
    numbers = [re.findall(r"(?<![\w.])\d+(?![\w.]*\w)", line) for line in text.splitlines()]
    rows = [found for found in numbers if len(found) >= 2 and any(20 <= int(n) <= 90 for n in found)]
    assert len(rows) >= 5, text
    assert len({tuple(row) for row in rows}) >= 3, text


def test_python(server: str, project: Path) -> None:
    page = ROOT / "clients" / "python" / "README.md"
    (project / "main.py").write_text(addressed(quickstart(page, "python"), server))
    check_rows(output(sys.executable, "main.py", cwd=project))
    assert (project / "patients.kohort").stat().st_size > 0


def test_go(server: str, project: Path) -> None:
    need("go")
    (project / "main.go").write_text(addressed(quickstart(GO / "README.md", "go"), server))
    command("go", "mod", "init", "example.com/hospital", cwd=project)
    command("go", "mod", "edit", f"-replace={MODULE}={GO}", f"-require={MODULE}@v0.1.0", cwd=project)
    check_rows(output("go", "run", "-mod=mod", ".", cwd=project))


def test_java(server: str, project: Path) -> None:
    install_java()
    page = JAVA / "README.md"
    source = addressed(quickstart(page, "java"), server)
    name = re.search(r"^(?:public )?(?:final )?class (\w+)", source, re.MULTILINE)
    assert name, "the quickstart is no whole program"
    (project / "src" / "main" / "java").mkdir(parents=True)
    (project / "src" / "main" / "java" / f"{name[1]}.java").write_text(source)
    (project / "pom.xml").write_text(f"""<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>com.example</groupId>
  <artifactId>hospital</artifactId>
  <version>1</version>
  <properties>
    <maven.compiler.source>11</maven.compiler.source>
    <maven.compiler.target>11</maven.compiler.target>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
  <dependencies>
{quickstart(page, "xml")}
  </dependencies>
</project>
""")
    command(*MAVEN, "compile", f"{COPYING}:copy-dependencies", cwd=project)
    path = os.pathsep.join(("target/classes", "target/dependency/*"))
    check_rows(output("java", "-cp", path, name[1], cwd=project))


def test_node(server: str, project: Path) -> None:
    need("node")
    need("npm")
    (project / "package.json").write_text('{"name": "hospital", "private": true, "type": "module"}\n')
    (project / "main.js").write_text(addressed(quickstart(NODE / "README.md", "js"), server))
    with alone():
        command("npm", "pack", "--pack-destination", project, cwd=NODE)
    (package,) = project.glob("*.tgz")
    command("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", package, cwd=project)
    check_rows(output("node", "main.js", cwd=project))
