"""``python -m kohort.cli``."""

from kohort.cli.main import run

run()
