"""What the pages of the clients show, taken out to be run as printed."""

from __future__ import annotations

import re
from pathlib import Path

PRINTED = "localhost:50051"


def printed(page: Path, heading: str, language: str) -> list[str]:
    """The blocks of a language below a heading, at least one."""
    _, found, section = page.read_text().partition(f"\n## {heading}\n")
    assert found, f"{page} has no '## {heading}'"
    shown = blocks(section.partition("\n## ")[0], language)
    assert shown, f"{page} shows no {language} below '## {heading}'"
    return shown


def blocks(text: str, language: str) -> list[str]:
    """All blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def addressed(program: str, address: str) -> str:
    """The program with the one thing changed."""
    assert PRINTED in program
    return program.replace(PRINTED, address)
