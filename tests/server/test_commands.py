"""What the commands say when they are called wrongly: one sentence that names what to change."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.__main__ import main


def test_one_wrong_setting_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", "abc"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("port: ")


@pytest.mark.parametrize("slot", ["gpu:0", "cpu", "cpu:0,cpu:1", "cuda:-1", ""])
def test_a_worker_has_one_slot(slot: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["worker", "--slot", slot])
    assert end.value.code == 2
    assert "--slot must look like cpu:0 or cuda:0" in capsys.readouterr().err


def test_a_worker_without_the_servers_folder_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "elsewhere"
    assert main(["worker", "--slot", "cpu:0", "--data-dir", str(folder)]) == 1
    assert "data_dir is not the server's" in capsys.readouterr().err
    assert not folder.exists()
