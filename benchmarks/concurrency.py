"""Many callers at once: streams, first batches, short calls, watchers, and the memory of a long stream."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from typing import Any

Row = tuple[str, str, str, str, str, str]
"""What, per CPU second, wall, floor, aim, reached."""


@dataclass(frozen=True)
class Options:
    """How much is measured; the defaults take some six minutes on two cores."""

    stream_rows: int = 10_000_000
    """Rows of the stream whose memory is watched."""


QUICK = Options(stream_rows=200_000)
"""Enough to see that every part runs; its figures mean nothing."""


def measure(options: Options) -> dict[str, Any]:
    """Everything that this part measures, as plain numbers."""
    return {}


def rows(results: dict[str, Any]) -> list[Row]:
    """The figures as rows of a table."""
    return []


def main() -> None:
    """Measures and prints."""
    chosen = argparse.ArgumentParser(description=__doc__)
    chosen.add_argument("--quick", action="store_true", help="small figures, to see that it runs")
    results = measure(QUICK if chosen.parse_args().quick else Options())
    print(json.dumps(results, indent=1))
    for row in rows(results):
        print(" | ".join(row))


if __name__ == "__main__":
    main()
