"""A built driver per language: a program that makes one call and prints what it saw (see canonical.py)."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from canonical import FAILED_CALL

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "interop"
GO, JAVA, NODE, PYTHON = (ROOT / "clients" / name for name in ("go", "java", "node", "python"))
LANGUAGES = ("python", "go", "java", "node")
MAVEN = ("mvn", "--batch-mode", "--no-transfer-progress", "--quiet")
COPYING = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
"""The plugin that copies artefacts, by its full name: a user's project does not name it."""
SMALL_HEAP = {"java": ["-Xmx96m"]}
"""By language the words that a program gets where its memory is measured."""


@dataclass(frozen=True)
class Outcome:
    """What a driver ended with: its exit status (0, 1 or `FAILED_CALL`), and what it printed."""

    status: int
    result: Any
    """The JSON; where the status is 1 the text of stderr."""

    @property
    def value(self) -> Any:
        """The JSON of a call that went well."""
        assert self.status == 0, self.result
        return self.result

    @property
    def error(self) -> Any:
        """What is said of a call that failed."""
        assert self.status == FAILED_CALL, self.result
        return self.result["error"]


@dataclass(frozen=True)
class Driver:
    """The driver of a language."""

    language: str
    words: tuple[str, ...]

    def __call__(self, verb: str, address: str, *arguments: Any, **environment: Any) -> Outcome:
        """Runs it to its end; the variables come without their prefix: `timeout=2`, `token=…`."""
        with self.start(verb, address, *arguments, **environment) as process:
            return finish(process)

    def start(
        self, verb: str, address: str, *arguments: Any, before: list[str] | None = None, **environment: Any
    ) -> subprocess.Popen[bytes]:
        """Starts it; `before` comes ahead of all other words."""
        said = {f"KOHORT_{name.upper()}": str(value) for name, value in environment.items()}
        program, *flags = self.words
        words = [*(before or ()), program, *flags, verb, address, *map(str, arguments)]
        return subprocess.Popen(
            words, cwd=ROOT, env=_environment() | said, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def peak(self, file: Path, *words: Any, **environment: Any) -> tuple[Any, int]:
        """What a call prints, and the largest resident set of the program in bytes."""
        small = self._with_flags(SMALL_HEAP)
        with small.start(*words, before=noting_peak(file), **environment) as process:
            return finish(process).value, int(file.read_text())

    def _with_flags(self, flags: Mapping[str, list[str]]) -> Driver:
        """The same program under its runtime's own flags, where there are any for its language."""
        program, *rest = self.words
        return Driver(self.language, (program, *flags.get(self.language, []), *rest))


def noting_peak(file: str | Path) -> list[str]:
    """What comes before a command so that its largest resident set, in bytes, is written to a file."""
    return [sys.executable, "-S", "-E", str(Path(__file__).with_name("peak.py")), str(file)]


def finish(process: subprocess.Popen[bytes], timeout: float = 300) -> Outcome:
    """Waits for a driver that was started."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode in (0, 1, FAILED_CALL), err.decode()
    if process.returncode == 1:
        return Outcome(1, err.decode())
    return Outcome(process.returncode, json.loads(out))


class Together:
    """Drivers of all languages at once."""

    def __init__(self, fleet: Mapping[str, Driver], run: Callable[[Driver], Outcome]) -> None:
        pool = ThreadPoolExecutor(len(fleet))
        self._running = {language: pool.submit(run, drive) for language, drive in fleet.items()}
        pool.shutdown(wait=False)

    def under_way(self, condition: Callable[[], bool]) -> None:
        """Waits for a condition that holds while all run."""
        end = time.monotonic() + 90
        while not condition():
            early = {language: one.result() for language, one in self._running.items() if one.done()}
            assert not early, f"ended before they should: {early}"
            assert time.monotonic() < end
            time.sleep(0.05)

    def outcomes(self) -> dict[str, Outcome]:
        """What all ended with."""
        return {language: one.result() for language, one in self._running.items()}


def _environment() -> dict[str, str]:
    """This process's environment without what would reach a client by chance; this checkout's SDK first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KOHORT_")}
    return kept | {"PYTHONPATH": str(PYTHON), "PYTHONDONTWRITEBYTECODE": "1"}


def need(tool: str) -> None:
    """Skips the test where a toolchain is missing; in CI that is a failure."""
    if shutil.which(tool) is None:
        message = f"{tool} is not installed"
        if os.environ.get("KOHORT_CI") == "1":
            pytest.fail(message)
        pytest.skip(message)


def command(*words: str | Path, cwd: Path = ROOT, timeout: float = 540) -> None:
    """Runs one step of a build and shows what it printed if it fails."""
    run = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False)
    assert run.returncode == 0, f"{words[0]} failed:\n{run.stdout[-4000:]}{run.stderr[-4000:]}"


@contextmanager
def alone() -> Iterator[None]:
    """One build at a time, in whatever process: the tools share folders."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def install_java() -> None:
    """Puts the Java client where the projects of its users find it."""
    need("javac")
    need("mvn")
    with alone():
        command(*MAVEN, "install", "-Dmaven.test.skip=true", cwd=JAVA)


def driver(language: str) -> Driver:
    """Builds the driver of a language where it needs building."""
    for tool in {"go": ("go",), "java": ("java", "mvn"), "node": ("node", "npm")}.get(language, ()):
        need(tool)
    return Driver(language, _words(language))


@cache
def _words(language: str) -> tuple[str, ...]:
    with alone():
        match language:
            case "python":
                return (sys.executable, str(Path(__file__).with_name("driver.py")))
            case "go":
                binary = BUILD / "kohort-interop"
                command("go", "build", "-buildvcs=false", "-o", binary, "./internal/interop", cwd=GO)
                return (str(binary),)
            case "java":
                command(*MAVEN, "test-compile", cwd=JAVA)
                parts = ("classes", "test-classes", "dependency/*")
                class_path = os.pathsep.join(str(JAVA / "target" / part) for part in parts)
                quick = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")  # it runs for a second
                return ("java", *quick, "-cp", class_path, "io.kohort.interop.Driver")
            case _:
                installed = NODE / "node_modules" / ".package-lock.json"
                lock = NODE / "package-lock.json"
                if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
                    command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=NODE)
                return ("node", str(NODE / "main.js"))
