"""The entry point: runs a command and turns what goes wrong into words and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def run(arguments: Sequence[str] | None = None) -> None:
    """Runs ``kohort`` and exits (see `kohort.cli.failures` for the codes)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    # grpc's own log, on stderr at each failed handshake, would bury the one line that helps.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from kohort.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.stderr.write("The kohort command needs two more packages: pip install 'kohort[cli]'\n")
        sys.exit(1)
    from kohort.cli.failures import INTERRUPTED, exit_code, interrupted

    # A flag of all commands may stand anywhere.
    if "--json" in given:
        given.remove("--json")
        given.insert(0, "--json")
    try:
        code = app(given, prog_name="kohort", standalone_mode=False)
        # What newer releases of typer make of Ctrl-C.
        code = interrupted() if code == INTERRUPTED else code
    except BaseException as error:
        code = exit_code(error)
    sys.exit(code if isinstance(code, int) else 0)
