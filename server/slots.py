"""How settings name devices: slots, each of which is one worker's at a time, and kinds of them."""

from __future__ import annotations


def parse_slots(devices: str) -> tuple[str, ...]:
    """`cpu:2,cuda:1` → ("cpu:0", "cpu:1", "cuda:1"). Raises ValueError."""
    slots: list[str] = []
    for part in filter(None, (p.strip() for p in devices.split(","))):
        kind, _, number = part.partition(":")
        if kind not in ("cpu", "cuda") or not number.isdecimal() or int(number) > 1024:
            raise ValueError("devices must look like cpu:2 or cuda:0,cuda:1")
        slots += [f"cpu:{i}" for i in range(int(number))] if kind == "cpu" else [f"cuda:{number}"]
    if len(set(slots)) != len(slots):
        raise ValueError("devices names a slot twice")
    return tuple(slots)


def parse_kinds(kinds: str) -> tuple[str, ...]:
    """`cuda,cpu` → ("cuda", "cpu"). Raises ValueError."""
    found = tuple(filter(None, (kind.strip() for kind in kinds.split(","))))
    if not found or len(set(found)) != len(found) or not {"cpu", "cuda"}.issuperset(found):
        raise ValueError("ray_kinds must be cpu, cuda, or both")
    return found
