"""Carries out a Dockerfile without an engine: its steps, in directories that stand for the images' roots.

Knows the instructions that deploy/Dockerfile uses and refuses any other, so that
what is tested are the file's own steps. A RUN goes into the root by chroot, in
mount and process namespaces of its own, with the environment of the file alone.
"""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SETTLED = {"LABEL", "EXPOSE", "VOLUME", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
"""What changes no file."""


@dataclass
class Stage:
    """One FROM and what stands below it."""

    name: str
    parent: str
    steps: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Image:
    """A root and what a container of it starts with."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    directory: str = "/"
    user: str = ""
    settled: dict[str, str] = field(default_factory=dict)


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """The instructions of a Dockerfile, continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines():
        if line.strip():
            word, rest = line.split(None, 1)
            yield word.upper(), rest.strip()


def stages(text: str) -> dict[str, Stage]:
    """The stages by name, their parents with the arguments before the first FROM filled in."""
    given: dict[str, str] = {}
    found: dict[str, Stage] = {}
    for word, rest in instructions(text):
        if word == "FROM":
            parent, _, name = rest.split()
            stage = found[name] = Stage(name, _fill(parent, given))
        elif found:
            stage.steps.append((word, rest))
        else:
            assert word == "ARG", word
            name, _, value = rest.partition("=")
            given[name] = value
    return found


def ignored(context: Path, path: Path) -> bool:
    """Whether .dockerignore leaves a file out: patterns of a path or what leads to it, last match wins."""
    relative, answer = path.relative_to(context).as_posix(), False
    parents = [relative, *(p.as_posix() for p in path.relative_to(context).parents)][:-1]
    for line in (context / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        wanted = pattern.lstrip("!")
        names = [p.rsplit("/", 1)[-1] for p in parents] if wanted.startswith("**/") else parents
        if any(fnmatch.fnmatchcase(n, wanted.removeprefix("**/")) for n in names):
            answer = not pattern.startswith("!")
    return answer


class Builder:
    """Builds stages from a base root.

    Args:
        base: the root that stands for every image that the file does not make.
        context: the build context.
        work: where the roots go.
        secrets: files by id.
        network: variables for RUN alone, and files of this machine to show there, as an engine shows its own.
    """

    def __init__(
        self,
        file: Path,
        base: Path,
        context: Path,
        work: Path,
        secrets: Mapping[str, Path],
        network: tuple[Mapping[str, str], tuple[Path, ...]],
    ) -> None:
        self._stages = stages(file.read_text())
        self._base, self._context, self._work = base, context, work
        self._secrets, self._network = secrets, network
        self._built: dict[str, Image] = {}

    def build(self, name: str) -> Image:
        """The image of a stage; those it needs are built before it."""
        if name not in self._built:
            stage = self._stages[name]
            image = self._start(stage)
            for word, rest in stage.steps:
                self._step(image, word, rest)
            self._built[name] = image
        return self._built[name]

    def _start(self, stage: Stage) -> Image:
        root = self._work / stage.name
        if stage.parent not in self._stages:
            _copy(self._base, root)
            return Image(root, {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"})
        parent = self.build(stage.parent)
        self._take(stage.parent, parent.root, root)
        same = dict(parent.environment), dict(parent.arguments), parent.directory, parent.user
        return Image(root, *same, dict(parent.settled))

    def _take(self, stage: str, source: Path, target: Path) -> None:
        """Copies from a stage; what nobody else takes from moves instead: the same for the taker."""
        takers = sum(
            (s.parent == stage) + sum(f"--from={stage} " in rest for word, rest in s.steps if word == "COPY")
            for s in self._stages.values()
        )
        if takers > 1 or target.exists():
            _copy(source, target)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)

    def _step(self, image: Image, word: str, rest: str) -> None:
        known = {**image.arguments, **image.environment}
        match word:
            case "ARG":
                name, _, value = rest.partition("=")
                image.arguments[name] = _fill(value.strip('"'), known)
            case "ENV":
                for part in shlex.split(_fill(rest, known)):
                    name, _, value = part.partition("=")
                    image.environment[name] = value
            case "WORKDIR":
                image.directory = rest
                (image.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
            case "USER":
                image.user = _fill(rest, known)
            case "COPY":
                self._copy(image, rest)
            case "RUN":
                self._run(image, rest)
            case _:
                assert word in SETTLED, f"{word} is not known here"
                image.settled[word] = _fill(rest, known)

    def _copy(self, image: Image, rest: str) -> None:
        words = rest.split()
        options = [w for w in words if w.startswith("--")]
        source, target = [w for w in words if not w.startswith("--")]
        to = image.root / (image.directory + "/" + target if target[0] != "/" else target).lstrip("/")
        if options:
            (option,) = options
            kind, _, stage = option.partition("=")
            assert kind == "--from", option
            self._take(stage, self.build(stage).root / source.lstrip("/"), to)
            return

        def left_out(folder: str, names: list[str]) -> set[str]:
            paths = {name: Path(folder, name) for name in names}
            # A folder is entered where anything below it may be let in again.
            return {n for n, p in paths.items() if not p.is_dir() and ignored(self._context, p)} | {
                n for n in names if n in (".git", "__pycache__") or n.startswith(".venv")
            }

        shutil.copytree(self._context / source, to, ignore=left_out, dirs_exist_ok=True, symlinks=True)

    def _run(self, image: Image, rest: str) -> None:
        words = rest.split()
        mounts = [dict(p.split("=", 1) for p in w[8:].split(",")) for w in words if w.startswith("--mount=")]
        command = " ".join(w for w in words if not w.startswith("--mount="))
        shown = [(path, str(path)) for path in self._network[1]]
        for mount in mounts:
            match mount["type"]:
                case "secret" if mount["id"] in self._secrets:
                    shown.append((self._secrets[mount["id"]], mount["target"]))
                case "bind":
                    shown.append((self._context / mount["source"], mount["target"]))
                case "cache":
                    cache = self._work / "cache"
                    cache.mkdir(exist_ok=True)
                    shown.append((cache, mount["target"]))
                case kind:
                    assert kind == "secret", kind
        environment = {**self._network[0], **image.arguments, **image.environment}
        call = ["/bin/sh", "-c", command]
        done = subprocess.run(
            enter(image, shown, call, environment, user=image.user),
            capture_output=True,
            text=True,
            timeout=500,
        )
        assert done.returncode == 0, f"RUN {command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def enter(
    image: Image,
    shown: list[tuple[Path, str]],
    command: list[str],
    environment: Mapping[str, str],
    *,
    user: str = "",
    written: tuple[tuple[Path, str], ...] = (),
    read_only: bool = False,
) -> list[str]:
    """The command line that runs a command in an image's root as its process 1.

    Args:
        shown: files and folders of this machine, and where they appear.
        user: numbers, such as 10001:10001; root where empty. Others have no capability and can gain none.
        written: folders that stay writable where the root is `read_only`.
    """
    root = image.root
    script = ["set -e", f"mount --bind {root} {root}", f"cd {root}"]
    for path, target in (*shown, *written):
        at = root / target.lstrip("/")
        if path.is_dir():
            at.mkdir(parents=True, exist_ok=True)
        elif not at.exists():
            at.parent.mkdir(parents=True, exist_ok=True)
            at.touch()
        script.append(f"mount --bind {path} {at}")
    if read_only:
        # Mounts below the root keep what they are.
        script.append(f"mount -o remount,bind,ro {root}")
        script.append(f"mount -t tmpfs -o mode=1777 tmpfs {root}/tmp")
    script += [
        f"mount -t proc proc {root}/proc",
        f"mount --rbind /dev {root}/dev",
        f"mount -t tmpfs tmpfs {root}/dev/shm",
    ]
    inner = ["/bin/sh", "-c", f'cd {image.directory} && exec "$@"', "sh", *command]
    clean = ["env", "-i", *(f"{name}={value}" for name, value in environment.items())]
    # By their paths here: the environment is the image's already.
    drop = [str(shutil.which("chroot"))]
    if user:
        few = "--bounding-set=-all,+sys_chroot,+setuid,+setgid"
        drop = [str(shutil.which("setpriv")), "--no-new-privs", few, *drop, f"--userspec={user}"]
    script.append("exec " + shlex.join([*clean, *drop, str(root), *inner]))
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", "\n".join(script)]


def started(image: Image) -> list[str]:
    """ENTRYPOINT and CMD."""
    return [*json.loads(image.settled["ENTRYPOINT"]), *json.loads(image.settled["CMD"])]


def _fill(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], text)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", "-T", source, target], check=True)
