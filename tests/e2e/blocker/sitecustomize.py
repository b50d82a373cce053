"""Makes the packages named in BLOCKED_PACKAGES look uninstalled, in this interpreter and all it starts."""

import importlib.abc
import os
import sys

BLOCKED = set(filter(None, os.environ.get("BLOCKED_PACKAGES", "").split(",")))


class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def]
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Blocker())
