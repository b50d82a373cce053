"""Builds every artefact of a release into dist/ and checks each (`make release-check`).

What is built is what git tracks, uncommitted changes included, so a stray file
in the checkout can be in no artefact. Everything is built twice in folders of
different names, to compare the bytes. One line per check; exit status 1 if any failed.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from email.parser import BytesParser
from pathlib import Path

import release_build as build
from release_build import ROOT, BuildError

# Each place that says the version; the group is what it says.
VERSIONS = {
    "clients/python/pyproject.toml": r'^version = "(.+)"',
    "clients/python/kohort/version.py": r'^__version__ = "(.+)"',
    "pyproject.toml": r'^version = "(.+)"',
    "clients/java/README.md": r"<artifactId>kohort-client</artifactId>\s*<version>(.+?)</version>",
    "docs/other-languages.md": r"<artifactId>kohort-client</artifactId>\s*<version>(.+?)</version>",
    "clients/java/src/main/java/**/*.java": r'"kohort-java/(\d[^"]*)"|VERSION = "(.+?)"',
    "clients/go/kohort/*.go": r'"kohort-go/(\d[^"]*)"|[vV]ersion\s*=\s*"(.+?)"',
    "clients/node/README.md": r"kohort-client-(\d.*?)\.tgz",
    "clients/node/connection.js": r'VERSION = "(.+)"',
    "clients/node/package.json": r'^  "version": "(.+)"',
    "clients/node/package-lock.json": r'\A{\s*"name": ".+",\s*"version": "(.+)"',
    "clients/java/**/pom.xml": r"<artifactId>kohort-client</artifactId>\s*<version>(.+?)</version>",
}
LARGEST = 4 << 20  # bytes of an artefact; the largest has 2 MiB
JAVA_11 = 55  # the major version of its class files

# Whom an artefact may name: specifications, the project itself, pages that a licence or Javadoc points to, and
# names that can never be anybody's.
KNOWN_HOSTS = re.compile(
    rb"(?:[\w-]+\.)*(?:apache\.org|github\.com|example\.(?:com|org|net)|w3\.org|oracle\.com|java\.net"
    rb"|openjdk\.org|localhost|google\.com|grpc\.io|protobuf\.dev|golang\.org|go\.dev|\w+\.(?:example|invalid|test))"
)
HOST = re.compile(rb"[a-z]{3,}://([\w.-]+\.[a-z]{2,}|localhost)")
SOMEONES_FOLDER = re.compile(rb"(?<![\w./-])/(?:home|root|Users)/[\w.-]+/")

Members = dict[str, bytes]


def members(archive: Path) -> Members:
    """Every file of a zip or tar by its name."""
    if tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            return {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}  # type: ignore[union-attr]
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            return {name: zipped.read(name) for name in zipped.namelist() if not name.endswith("/")}
    return {archive.name: archive.read_bytes()}


class Report:
    """Prints a line for each check, and remembers whether any failed."""

    def __init__(self) -> None:
        self.failed = 0

    def check(self, what: str, wrong: Iterator[str] | list[str]) -> None:
        """`wrong` gives what is wrong, one text each."""
        try:
            found = list(wrong)
        except BuildError as error:
            found = [str(error)]
        print(f"{'FAIL' if found else 'ok':4}  {what}{': ' if found else ''}{'; '.join(found)}", flush=True)
        self.failed += bool(found)

    def build(self, what: str, make: Callable[[], list[Path]]) -> list[Path]:
        """The files of a part; none, and a line that says why, when it cannot be built."""
        try:
            return make()
        except BuildError as error:
            self.check(what, [str(error)])
            return []


def versions(version: str) -> Iterator[str]:
    """Every place says the same."""
    for pattern, said in VERSIONS.items():
        files = sorted(file for file in ROOT.glob(pattern) if "target" not in file.parts)
        found = [
            (file, next(filter(None, match.groups())))
            for file in files
            for match in re.finditer(said, file.read_text(), re.MULTILINE)
        ]
        if not found:
            yield f"{pattern} tells no version"
        for file, other in found:
            if other != version:
                yield f"{file.relative_to(ROOT)} says {other}"


def contents(archive: Path, trees: list[Path]) -> Iterator[str]:
    """A licence, a sensible size, nothing of this machine and no host that nobody knows."""
    # What the javadoc tool brings along has licences and sources of its own.
    ours = "javadoc" not in archive.name
    if archive.stat().st_size > LARGEST:
        yield f"{archive.stat().st_size:,} bytes"
    held = members(archive)
    licence = (ROOT / "LICENSE").read_bytes()
    if ours and not any(Path(name).name == "LICENSE" and data == licence for name, data in held.items()):
        yield "no LICENSE, or another than the repository's"
    here = [str(folder).encode() for folder in (ROOT, *trees, Path.home())]
    for name, data in held.items():
        if Path(name).is_absolute() or any(folder in data for folder in here if len(folder) > 1):
            yield f"{name} holds a path of this machine"
        elif path := SOMEONES_FOLDER.search(data):
            yield f"{name} holds the path {path[0].decode()}"
        if ours:
            for host in sorted({host for host in HOST.findall(data) if not KNOWN_HOSTS.fullmatch(host)}):
                yield f"{name} names the host {host.decode()}"


def same_bytes(first: list[Path], second: list[Path]) -> Iterator[str]:
    """Two builds in two places gave the same files; says which members differ."""
    if [file.name for file in first] != [file.name for file in second]:
        yield "two builds gave different files"
    for one, other in zip(first, second, strict=False):
        if one.read_bytes() != other.read_bytes():
            a, b = members(one), members(other)
            differing = sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))
            yield f"{one.name} differs in {', '.join(differing[:5]) or 'its order or times'}"


def wheel(archive: Path, version: str) -> Iterator[str]:
    """The metadata that an index shows, and that no torch is asked for."""
    held = members(archive)
    told = BytesParser().parsebytes(next(data for name, data in held.items() if name.endswith("/METADATA")))
    for key, value in {
        "Name": "kohort",
        "Version": version,
        "Requires-Python": ">=3.11",
        "License-Expression": "Apache-2.0",
        "License-File": "LICENSE",
        "Description-Content-Type": "text/markdown",
    }.items():
        if told[key] != value:
            yield f"{key} is {told[key]}"
    if told.get_payload() != (ROOT / "clients" / "python" / "README.md").read_text():
        yield "its description is not the README"
    yield from (f"requires {r}" for r in told.get_all("Requires-Dist") if re.match(r"torch|onnx\b|ctgan", r))
    if "kohort/py.typed" not in held:
        yield "no py.typed"
    strays = sorted(name for name in held if not re.match(r"kohort/|kohort-[\d.]+\.dist-info/", name))
    yield from (f"stray {name}" for name in strays)


def wheel_installs(archive: Path, folder: Path, version: str) -> Iterator[str]:
    """In a fresh environment, with what its metadata asks for and nothing else."""
    build.run(sys.executable, "-m", "venv", folder, cwd=ROOT)
    interpreter = folder / "bin" / "python"
    quiet = ("--quiet", "--disable-pip-version-check")
    build.run(interpreter, "-m", "pip", "install", *quiet, archive, cwd=folder)
    program = (
        "import importlib.util, sys, kohort, kohort.v1.sampling_pb2_grpc; kohort.Client, kohort.AsyncClient;"
        "print(kohort.__version__, importlib.util.find_spec('torch'), 'site-packages' in kohort.__file__)"
    )
    said = build.run(interpreter, "-c", program, cwd=folder).strip()
    if said != f"{version} None True":
        yield f"expected its version, no torch and a place in site-packages: {said}"


def foreign_protos(held: Members) -> Iterator[str]:
    """Every proto of the contract is there, byte for byte."""
    for proto in sorted((ROOT / "protos").rglob("*.proto")):
        name = str(proto.relative_to(ROOT / "protos"))
        if name not in held:
            yield f"no {name}"
        elif held[name] != proto.read_bytes():
            yield f"{name} is not the repository's"


def jars(files: list[Path], version: str) -> Iterator[str]:
    """Jar, sources and Javadoc; the protos byte for byte; class files that Java 11 reads."""
    stem = f"kohort-client-{version}"
    named = {file.name: file for file in files}
    for name in (f"{stem}.jar", f"{stem}-sources.jar", f"{stem}-javadoc.jar"):
        if name not in named:
            yield f"no {name}"
    if f"{stem}.jar" in named:
        held = members(named[f"{stem}.jar"])
        yield from foreign_protos(held)
        classes = {name: data for name, data in held.items() if name.endswith(".class")}
        newer = [name for name, data in classes.items() if int.from_bytes(data[6:8], "big") > JAVA_11]
        yield from (f"{name} needs more than Java 11" for name in newer[:3])
        if "io/kohort/client/KohortClient.class" not in classes:
            yield "no io.kohort.client.KohortClient"
        strays = [n for n in held if not re.match(r"io/kohort/|kohort/v1/\w+\.proto$|META-INF/|google/", n)]
        yield from (f"stray {name}" for name in strays)
    pom = next(file for file in files if file.suffix == ".pom" or file.name == "pom.xml").read_text()
    for element in ("name", "description", "url", "licenses", "developers", "scm"):  # Central's rules
        if f"<{element}>" not in pom:
            yield f"the pom has no <{element}>"


def go_module(archive: Path, version: str) -> Iterator[str]:
    """Go sources and what belongs to them, under the module's name, with its README."""
    prefix = f"{build.MODULE}@v{version}/"
    names = [name.removeprefix(prefix) for name in members(archive)]
    yield from (f"no {name}" for name in ("LICENSE", "README.md", "go.mod", "go.sum") if name not in names)
    belongs = r"(LICENSE|README\.md|go\.mod|go\.sum|[\w.]+\.ya?ml|.+\.go|(.+/)?testdata/.+)"
    yield from (f"stray {name}" for name in names if not re.fullmatch(belongs, name))


def go_builds(tree: Path, version: str) -> Iterator[str]:
    """Without this checkout, so nothing hangs on a `replace` or on a file that git does not have."""
    call = 'client, err := kohort.NewClient("localhost:50051")\n\tfmt.Println(client, err)'
    imports = f'import (\n\t"fmt"\n\n\t"{build.MODULE}/kohort"\n)'
    build.go_program(tree, version, f"package main\n\n{imports}\n\nfunc main() {{\n\t{call}\n}}\n")
    yield from ()


def node_package(archive: Path) -> Iterator[str]:
    """Modules, README, and the protos byte for byte."""
    held = {name.removeprefix("package/"): data for name, data in members(archive).items()}
    yield from (f"no {name}" for name in ("package.json", "README.md", "kohort.js") if name not in held)
    yield from foreign_protos({name.removeprefix("protos/"): data for name, data in held.items()})
    belongs = r"package\.json|README\.md|LICENSE|NOTICE|\w+\.js|protos/kohort/v1/\w+\.proto"
    yield from (f"stray {name}" for name in held if not re.fullmatch(belongs, name))
    package = json.loads(held["package.json"])
    if package["license"] != "Apache-2.0" or package.get("private") is not True:
        yield "package.json does not say Apache-2.0 and private"


def main() -> int:
    """Builds, checks, copies to dist/; the exit status."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--out", type=Path, default=ROOT / "dist")
    options.add_argument("--only", choices=("python", "java", "go", "node"), help="one part")
    chosen = options.parse_args()
    only = chosen.only
    report = Report()
    version = tomllib.loads((ROOT / "clients" / "python" / "pyproject.toml").read_text())["project"][
        "version"
    ]
    report.check(f"every file that names the version says {version}", versions(version))
    files: list[Path] = []
    with tempfile.TemporaryDirectory(prefix="kohort-release-") as directory:
        commit = build.revision()
        one, two = trees = [build.export(commit, Path(directory) / name) for name in ("a", "second/place")]

        def twice(part: str, make: Callable[[Path], list[Path]]) -> list[Path]:
            made = report.build(f"{part}: builds", lambda: make(one))
            if made:
                again = report.build(f"{part}: builds again", lambda: make(two))
                # An sdist keeps the times of its files; the wheel that is made of it does not.
                compared = [[f for f in m if not f.name.endswith(".tar.gz")] for m in (made, again)]
                report.check(f"{part}: two builds, the same bytes", same_bytes(*compared))
            files.extend(made)
            return made

        if only in (None, "python") and (made := twice("python", build.python)):
            archive = next(file for file in made if file.suffix == ".whl")
            report.check(f"{archive.name}: metadata and files", wheel(archive, version))
            installed = wheel_installs(archive, Path(directory) / "venv", version)
            report.check(f"{archive.name}: installs in a fresh environment, imports without torch", installed)
        if only in (None, "java") and (made := twice("java", build.java)):
            report.check("java: jars, protos, Java 11, pom", jars(made, version))
        if only in (None, "go") and (made := twice("go", lambda tree: build.go(tree, commit, version))):
            report.check("go: module zip", go_module(made[0], version))
            report.check("go: a program of another module builds with it", go_builds(one, version))
        if only in (None, "node") and (made := twice("node", build.node)):
            report.check(f"{made[0].name}: modules, protos", node_package(made[0]))
        for file in files:
            if file.name != "pom.xml":
                report.check(f"{file.name}: licence, size, paths, hosts", contents(file, trees))
        shutil.rmtree(chosen.out, ignore_errors=True)
        chosen.out.mkdir(parents=True)
        for file in files:
            name = {"pom.xml": f"kohort-client-{version}.pom", f"v{version}.zip": f"kohort-go-v{version}.zip"}
            shutil.copy(file, chosen.out / name.get(file.name, file.name))
    print(f"{len(files)} files in {chosen.out.name}/, {report.failed} checks failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
