"""Builds what a release consists of, from what git tracks: each part as its own users get it.

Every function takes a folder that holds the tree of one revision (`export`) and
gives the files that it made. Building in two folders shows whether the place of
a build is anywhere in what it makes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = ROOT / ".venv-tools" / "bin" / "uv"
REPOSITORY = "github.com/kohort-health/kohort"
MODULE = f"{REPOSITORY}/clients/go"
EPOCH = "1767225600"  # 2026-01-01, as project.build.outputTimestamp of the pom
NOBODY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "release"), ("EMAIL", "release@example.org"), ("DATE", f"{EPOCH} +0000"))
}


class BuildError(Exception):
    """A tool is missing, or failed; its last lines are the message."""


def run(*words: str | Path, cwd: Path, environment: Mapping[str, str] | None = None) -> str:
    """What a command printed."""
    if shutil.which(words[0]) is None:
        raise BuildError(f"{words[0]} is not installed")
    done = subprocess.run(
        words, cwd=cwd, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BuildError(f"{Path(words[0]).name} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def revision() -> str:
    """The commit to build: HEAD, or one of the tracked files as they are now that no branch knows."""
    return (
        run("git", "stash", "create", cwd=ROOT).strip() or run("git", "rev-parse", "HEAD", cwd=ROOT).strip()
    )


def export(commit: str, folder: Path) -> Path:
    """Writes the tree of a commit into a new folder."""
    folder.mkdir(parents=True)
    run("git", "archive", "-o", folder / ".tar", commit, cwd=ROOT)
    run("tar", "-xf", ".tar", cwd=folder)
    (folder / ".tar").unlink()
    return folder


def python(tree: Path) -> list[Path]:
    """The sdist, and the wheel that is built from it."""
    out = tree / "out" / "python"
    package = tree / "clients" / "python"
    run(UV, "build", "--quiet", "-o", out, ".", cwd=package, environment={"SOURCE_DATE_EPOCH": EPOCH})
    return sorted([*out.glob("*.whl"), *out.glob("*.tar.gz")])


def java(tree: Path) -> list[Path]:
    """The jar, its sources and its Javadoc, and the pom."""
    package = tree / "clients" / "java"
    run("mvn", "-B", "-ntp", "-Prelease", "-DskipTests", "package", cwd=package)
    return [*sorted((package / "target").glob("kohort-client-*.jar")), package / "pom.xml"]


def go(tree: Path, commit: str, version: str) -> list[Path]:
    """The module as `go get` has it from a tag: fetched with git, zipped by the go command."""
    bare = tree / "out" / "kohort.git"
    run("git", "init", "--quiet", "--bare", bare, cwd=tree)
    objects = run("git", "rev-parse", "--path-format=absolute", "--git-path", "objects", cwd=ROOT)
    (bare / "objects" / "info" / "alternates").write_text(objects)
    # A commit without parents: the history may not be here.
    whole = run("git", "commit-tree", "-m", version, f"{commit}^{{tree}}", cwd=bare, environment=NOBODY)
    run("git", "tag", f"clients/go/v{version}", whole.strip(), cwd=bare)
    told = run("go", "mod", "download", "-json", f"{MODULE}@v{version}", cwd=tree, environment=_go(tree))
    return [Path(json.loads(told)["Zip"])]


def go_program(tree: Path, version: str, source: str) -> None:
    """Builds a program in a module of its own that requires ours, fetched as `go` did it before."""
    folder = tree / "out" / "program"
    folder.mkdir()
    (folder / "main.go").write_text(source)
    run("go", "mod", "init", "example.com/program", cwd=folder)
    run("go", "get", f"{MODULE}/kohort@v{version}", cwd=folder, environment=_go(tree))
    run("go", "build", "-o", "program", ".", cwd=folder, environment=_go(tree))


def _go(tree: Path) -> dict[str, str]:
    """Our repository is the clone, modules go to a cache of this build; others come from the user's cache first."""
    bare, cache = tree / "out" / "kohort.git", tree / "out" / "modules"
    theirs = Path(run("go", "env", "GOMODCACHE", cwd=tree).strip()) / "cache" / "download"
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{bare.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": f"https://{REPOSITORY}",
        "GOPRIVATE": f"{REPOSITORY}/*",
        "GOMODCACHE": str(cache),
        "GOPROXY": f"{theirs.as_uri()},{run('go', 'env', 'GOPROXY', cwd=tree).strip()}",
        "GOFLAGS": "-modcacherw",
        "GOWORK": "off",
    }


def node(tree: Path) -> list[Path]:
    """The package with the protos inside; it is private, so it is handed on as a file."""
    out = tree / "out" / "node"
    out.mkdir(parents=True)
    run("npm", "pack", "--pack-destination", out, cwd=tree / "clients" / "node")
    return list(out.glob("*.tgz"))
