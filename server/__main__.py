"""`python -m server COMMAND …`: the server, what runs jobs elsewhere, health, tokens, backups."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from kohort.problem import Problem
from server import logs
from server.identities import ROLES, create_token
from server.settings import Settings, from_flags

STOPPED = 3
"""The exit status of a server that a second signal ended before it had drained."""

_USAGE = """usage: python -m server [serve] [--port N] [--data-dir DIR] …
       python -m server worker --slot cpu:0 [--database-url URL] …
       python -m server health [--address HOST:PORT] [--service kohort.v1.TrainingService] …
       python -m server dispatcher [--ray-address HOST:PORT] [--database-url URL] …
       python -m server token create --file FILE --tenant T --name N --role R [--role R] [--days D]
       python -m server backup --to DIR [--data-dir DIR] …
       python -m server restore --from DIR [--data-dir DIR] …
`--help` after a command lists its flags; all but `token` take every setting.
"""


def main(arguments: Sequence[str]) -> int:
    """Runs a command; returns the exit status: 0 ended well, 1 failed, 2 called wrongly."""
    command, rest = (
        (arguments[0], arguments[1:]) if arguments and arguments[0][:1] != "-" else ("serve", arguments)
    )
    try:
        match command:
            case "serve":
                return serve(from_flags(rest))
            case "worker":
                return worker(rest)
            case "health":
                from server import probe

                return probe.main(rest)
            case "dispatcher":
                return dispatcher(rest)
            case "token":
                return token(rest)
            case "backup" | "restore":
                return backup(command, rest)
            case _:
                sys.stderr.write(_USAGE)
                return 2
    except ValidationError as error:
        for entry in error.errors(include_url=False, include_input=False):
            if entry["type"] == "default_factory_not_called":
                continue  # follows from another that is told
            where = ".".join(map(str, entry["loc"])) or "settings"
            sys.stderr.write(f"{where}: {entry['msg'].removeprefix('Value error, ')}\n")
        return 2
    except (Problem, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def serve(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT, then drains; a second signal stops at once."""
    from server.app import Server, StartError
    from server.warm import warm

    logs.configure(settings.log_level, settings.log_format)
    warm()

    async def run() -> int:
        server = Server(settings)
        asked = asyncio.Event()

        def on_signal() -> None:
            if asked.is_set():
                # As a kill would, which loses nothing: workers and children end with this process.
                os._exit(STOPPED)
            asked.set()

        loop = asyncio.get_running_loop()
        # KeyboardInterrupt would not reach the coroutines of gRPC.
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
        try:
            await server.start()
        except StartError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        await asked.wait()
        await server.drain()
        return 0

    return asyncio.run(run())


def worker(arguments: Sequence[str]) -> int:
    """Runs jobs on one slot until SIGTERM."""
    from server.host import served
    from server.worker import run_worker, worker_config

    parser = argparse.ArgumentParser(prog="python -m server worker", add_help=False)
    parser.add_argument("--slot", required=True)
    # Asked for here alone: the default, and what the environment says, are a server's on this machine.
    parser.add_argument("--metrics-port", type=int, default=-1)
    flags, rest = parser.parse_known_args(arguments)
    if re.fullmatch(r"(cpu|cuda):[0-9]{1,4}", flags.slot) is None:
        parser.error("--slot must look like cpu:0 or cuda:0")
    settings = from_flags([*rest, "--devices", ""])
    logs.configure(settings.log_level, settings.log_format)
    with contextlib.ExitStack() as closing:
        if flags.metrics_port >= 0:
            try:
                closing.enter_context(served(settings.data_dir, settings.metrics_host, flags.metrics_port))
            except (OSError, OverflowError):
                sys.stderr.write("--metrics-port is taken or not allowed\n")
                return 1
        run_worker(worker_config(settings, flags.slot))
    return 0


def dispatcher(arguments: Sequence[str]) -> int:
    """Has a Ray cluster run the jobs until SIGTERM, for servers that run none themselves."""
    from server.dispatcher import ClusterUnavailable, Dispatcher, dispatcher_config

    settings = from_flags(arguments)
    logs.configure(settings.log_level, settings.log_format)
    try:
        Dispatcher(dispatcher_config(settings)).run()
    except ClusterUnavailable as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(1)  # at an orderly end Ray would look for the cluster once more
    return 0


def token(arguments: Sequence[str]) -> int:
    """Makes a bearer token, stores its hash and prints it, once."""
    parser = argparse.ArgumentParser(prog="python -m server token")
    create = parser.add_subparsers(dest="action", required=True).add_parser("create")
    create.add_argument("--file", type=Path, required=True, help="tokens_file of the server")
    create.add_argument("--tenant", required=True)
    create.add_argument("--name", required=True, help="who will use it")
    create.add_argument("--role", action="append", required=True, dest="roles", help=", ".join(ROLES))
    create.add_argument("--days", type=float, help="days until it expires; without: never")
    flags = parser.parse_args(arguments)
    expires = None if flags.days is None else time.time() + flags.days * 86400
    sys.stdout.write(create_token(flags.file, flags.tenant, flags.name, flags.roles, expires) + "\n")
    return 0


def backup(command: str, arguments: Sequence[str]) -> int:
    """Makes a backup of a data directory, or lays one out as one."""
    from server.backup import BackupError, back_up, restore

    parser = argparse.ArgumentParser(prog=f"python -m server {command}", add_help=False)
    parser.add_argument("--to" if command == "backup" else "--from", type=Path, required=True, dest="place")
    flags, rest = parser.parse_known_args(arguments)
    settings = from_flags(rest)
    try:
        made = (back_up if command == "backup" else restore)(settings, flags.place.absolute())
    except BackupError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{made.files} files, {made.size_bytes:,} bytes, tables of revision {made.revision}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
