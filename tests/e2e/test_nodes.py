"""Servers that lack something: without ctgan, without what evaluates, without torch, for sampling alone."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

import kohort
from examples.local_server import ROOT
from tests.e2e.conftest import HEART
from tests.e2e.harness import Server


def without(tmp_path: Path, packages: str, *flags: str, **environment: str) -> Server:
    path = os.pathsep.join([str(Path(__file__).parent / "blocker"), str(ROOT)])
    lacking = {"PYTHONPATH": path, "BLOCKED_PACKAGES": packages, "KOHORT_TRAINERS": ""}
    return Server(tmp_path, *flags, env=lacking | environment)


@pytest.mark.slow
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


def test_without_what_evaluates_models_are_published_unevaluated(tmp_path: Path) -> None:
    server = without(tmp_path, "jinja2,xgboost", KOHORT_EVALUATION_PROFILE="standard").start()
    try:
        with server.client() as client:
            dataset = client.upload(HEART, table="heart")
            with pytest.raises(kohort.FailedPrecondition) as refused:
                client.train(dataset, trainer="independent", evaluation="standard")
            assert refused.value.reason == "EVALUATION_UNAVAILABLE"
            job = client.train(dataset, trainer="independent")
            model = job.result()
            told = {e.detail.reason for e in job.events() if isinstance(e.detail, kohort.Finding)}
            assert "EVALUATION_INCOMPLETE" in told
            release = model.info.release
            assert release is not None
            assert release.state is kohort.ReleaseState.INCONCLUSIVE
            assert len(client.sample(model, 20)) == 20
            with pytest.raises(kohort.FailedPrecondition) as refused:
                model.evaluate()
            assert refused.value.reason == "EVALUATION_UNAVAILABLE"
    finally:
        assert server.stop() == 0, server.log()


def test_a_sampling_node_needs_no_torch(shared: Server, tmp_path: Path) -> None:
    with shared.client() as client:
        made = client.train(client.upload(HEART, table="heart"), trainer="ctgan", epochs=1, seed=1).result()
        expected = client.sample(made, 500, seed=1)
        bundle = made.download(tmp_path / "m.kohort")
    blocked = "torch,ctgan,rdt,onnx,sklearn,scipy,xgboost,jinja2,matplotlib,obstore,opentelemetry,psycopg,ray"
    node = without(tmp_path, blocked, "--devices", "", "--import-unverified").start()
    try:
        with node.client() as client:
            assert client.capabilities().trainers == ()
            model = client.import_model(bundle)
            assert not model.info.verified
            pd.testing.assert_frame_equal(client.sample(model, 500, seed=1), expected)
    finally:
        assert node.stop() == 0, node.log()
