"""What the tests themselves start ends with them."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from tests.e2e.harness import Server


def test_a_server_that_does_not_start_in_time_is_ended(tmp_path: Path) -> None:
    # Never ready, however quick it is: it tells its address elsewhere.
    server = Server(tmp_path, "--address-file", str(tmp_path / "elsewhere"))
    before = psutil.Process().children()
    with pytest.raises(RuntimeError, match="did not start in time"):
        server.start(timeout=0)
    assert set(psutil.Process().children()) <= set(before)
    assert server.stop() == 0
