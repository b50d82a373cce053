"""The bundle runtime works where nothing but numpy, onnxruntime and cryptography is installed."""

from __future__ import annotations

import json

import pytest

from tests.interpreter import python
from tests.runtime import parts

FORBIDDEN = ("grpc", "google", "pandas", "pyarrow", "torch", "onnx", "sqlalchemy")

LIST = "import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"

BLOCK = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in FORBIDDEN:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name.partition('.')[0] in FORBIDDEN else find(name, *a)
"""


MODULES = ["columns", "bundle", "noise", "programs", "csvio", "graphcheck", "sessions"]


@pytest.mark.parametrize("module", MODULES)
def test_importing_loads_nothing_heavy(module):
    loaded = set(json.loads(python(f"import kohort.{module}; {LIST}")))
    assert not loaded & {*FORBIDDEN, "onnxruntime", "cryptography"}
    assert "kohort" in loaded


def test_sampling_needs_no_more_than_the_three(tmp_path):
    path = tmp_path / "x.kohort"
    path.write_bytes(parts.bundle_bytes())
    code = f"""
FORBIDDEN = {FORBIDDEN!r}
{BLOCK}
import warnings; warnings.simplefilter("ignore")
from kohort.bundle import load
rows = load(sys.argv[1]).sample(5, seed=1)
print(rows["age"].to_python())
"""
    assert len(json.loads(python(code, str(path)))) == 5
