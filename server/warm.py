"""What a server process does once, before it serves, so that no call waits for it later."""

from __future__ import annotations

import gc
from importlib import import_module

from kohort.noise import block_noise

_USED_LATER = ("onnxruntime", "kohort.arrow", "kohort.csvio", "encodings.cp437")
"""Modules that are imported where they are first needed; the last by zipfile."""


def warm() -> None:
    """Imports what the first sample would import, and tells the collector that all of it stays.

    Looking through everything that was ever imported for garbage takes more than a
    tenth of a second, in which no call goes on, and the collector would do it again
    and again while calls are served.
    """
    for name in _USED_LATER:
        import_module(name)
    for scheme in (1, 2):
        block_noise(0, 0, 0, 1, 1, 1, scheme)
    gc.collect()
    gc.freeze()
