"""Servers that lack something: without ctgan, without torch, for sampling alone."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

import kohort
from examples.local_server import ROOT
from tests.e2e.conftest import HEART
from tests.e2e.harness import Server


def without(tmp_path: Path, packages: str, *flags: str) -> Server:
    path = os.pathsep.join([str(Path(__file__).parent / "blocker"), str(ROOT)])
    return Server(
        tmp_path, *flags, env={"PYTHONPATH": path, "BLOCKED_PACKAGES": packages, "KOHORT_TRAINERS": ""}
    )


def test_without_ctgan_everything_else_works(tmp_path: Path) -> None:
    server = without(tmp_path, "ctgan,rdt").start()
    try:
        with server.client() as client:
            names = {t.name for t in client.capabilities().trainers}
            assert "copula" in names
            assert "ctgan" not in names
            dataset = client.upload(HEART, table="heart")
            with pytest.raises(kohort.InvalidRequest) as refused:
                client.train(dataset, trainer="ctgan")
            assert refused.value.reason == "UNKNOWN_TRAINER"
            model = client.train(dataset).result()
            assert len(client.sample(model, 50)) == 50
    finally:
        assert server.stop() == 0, server.log()


def test_a_sampling_node_needs_no_torch(shared: Server, tmp_path: Path) -> None:
    with shared.client() as client:
        made = client.train(client.upload(HEART, table="heart"), trainer="ctgan", epochs=1, seed=1).result()
        expected = client.sample(made, 500, seed=1)
        bundle = made.download(tmp_path / "m.kohort")
    blocked = "torch,ctgan,rdt,onnx,sklearn,scipy,matplotlib"
    node = without(tmp_path, blocked, "--devices", "", "--import-unverified").start()
    try:
        with node.client() as client:
            assert client.capabilities().trainers == ()
            model = client.import_model(bundle)
            assert not model.info.verified
            pd.testing.assert_frame_equal(client.sample(model, 500, seed=1), expected)
    finally:
        assert node.stop() == 0, node.log()
