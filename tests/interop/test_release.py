"""`make release-check`: that it passes, and that its checks can fail."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from drivers import ROOT, need

sys.path.insert(0, str(ROOT / "tools"))

import release_check

pytestmark = pytest.mark.interop

LICENCE = (ROOT / "LICENSE").read_text()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_artefact(tmp_path: Path) -> None:
    for tool in ("go", "mvn", "javac", "npm"):
        need(tool)
    words = ["make", "release-check", f"ARGS=--out {tmp_path / 'dist'}"]
    run = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    made = {path.suffix for path in (tmp_path / "dist").iterdir()}
    assert made == {".whl", ".gz", ".jar", ".pom", ".zip", ".tgz"}


def packed(archive: Path, **files: str) -> Path:
    """A zip of these files; two underscores stand for a slash."""
    with zipfile.ZipFile(archive, "w") as target:
        for name, text in files.items():
            target.writestr(zipfile.ZipInfo(name.replace("__", "/")), text)
    return archive


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("see /home/alice/kohort/x", "holds the path /home/alice/"),
        ("built in BUILD", "holds a path of this machine"),
        ("from https://packages.somewhere.example.io/x", "names the host packages.somewhere.example.io"),
        ("https://github.com/kohort-health and http://localhost:8080", ""),
    ],
)
def test_paths_and_hosts_are_found(tmp_path: Path, text: str, complaint: str) -> None:
    archive = packed(tmp_path / "a.jar", LICENSE=LICENCE, a=text.replace("BUILD", str(tmp_path)))
    found = list(release_check.contents(archive, [tmp_path]))
    assert ("; ".join(found) == f"a {complaint}") if complaint else not found


def test_a_missing_licence_is_found(tmp_path: Path) -> None:
    assert list(release_check.contents(packed(tmp_path / "a.jar", a="b"), []))
    assert list(release_check.contents(packed(tmp_path / "b.jar", LICENSE="MIT"), []))


def test_builds_that_differ_are_found(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = (packed(tmp_path / name / "x.jar", same="1", other=name) for name in ("one", "two"))
    assert list(release_check.same_bytes([one], [two])) == ["x.jar differs in other"]
    assert not list(release_check.same_bytes([one], [one]))


def test_versions_that_differ_are_found() -> None:
    said = "; ".join(release_check.versions("9.9.9"))
    for place in ("clients/python/pyproject.toml", "clients/java/pom.xml", "clients/node/package.json"):
        assert f"{place} says " in said


def test_a_jar_of_foreign_protos_is_found(tmp_path: Path) -> None:
    pom = tmp_path / "pom.xml"
    pom.write_text("<project/>")
    jar = packed(tmp_path / "kohort-client-1.jar", kohort__v1__table="", **{"kohort__v1__table.proto": "x"})
    said = list(release_check.jars([jar, pom], "1"))
    assert "kohort/v1/table.proto is not the repository's" in said
    assert "no kohort/v1/schema.proto" in said
    assert "no kohort-client-1-sources.jar" in said
    assert "the pom has no <scm>" in said
