"""`python -m tests.operate.show`: starts the stack, drives a load, and prints what every panel then shows.

With `--pictures docs` it draws a selection of them too (docs/dashboards.md), after `--rounds` of the load.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.operate import load, pictures
from tests.operate.dashboards import Target, panels
from tests.operate.stack import Stack
from tests.operate.values import reading


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.operate.show")
    parser.add_argument("--rounds", type=int, default=1, help="of load, one after the other")
    parser.add_argument("--pictures", type=Path, help="a folder for the pictures")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder)) as stack:
        longer = load.longer(stack) if flags.pictures else contextlib.nullcontext()
        with longer:
            for _ in range(flags.rounds):
                load.drive(stack)
        time.sleep(10)  # what is counted only now and then is scraped by then

        for panel in panels("5m"):
            print(f"{panel.dashboard} · {panel.title} · {reading(panel, stack.answer)}", flush=True)
        if flags.pictures:

            def ask(target: Target) -> list[Any]:
                return since(stack.began, stack.course(target.expression))

            # Rates over less than the load's own ups and downs.
            pictures.draw(panels("20s"), ask, flags.pictures)


def since(began: float, found: list[Any]) -> list[Any]:
    """The same series, their times counted from then."""
    return [{**one, "values": [(at - began, value) for at, value in one["values"]]} for one in found]


if __name__ == "__main__":
    main()
