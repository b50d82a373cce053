"""What only a CUDA device can show. Run with `make test ARGS="-m gpu"` where there is one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from exporters.export import export
from exporters.parity import check_parity
from exporters.publish import export_bundle
from kohort.bundle import read_bundle
from kohort.columns import Array
from kohort.programs import SampleSpec
from kohort.schema import Schema
from kohort.sessions import choose_providers, open_session
from tables.tableset import TableSet
from tests.trainers.conftest import QUICK, noise_for, read_heart
from trainers.base import FitRequest, Generator, Hooks, Progress
from trainers.registry import trainer, trainers

torch = pytest.importorskip("torch", reason="needs torch")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


NAMES = [name for name, trainer in trainers().items() if trainer.info.gpu and name != "auto"]


@pytest.fixture(scope="module", params=NAMES)
def generator(request: pytest.FixtureRequest) -> Generator:
    """Trained on the GPU for a few epochs."""
    heart, found = read_heart(), trainer(request.param)
    steps: list[Progress] = []
    tables, nothing = TableSet({"heart": heart}), TableSet({"heart": heart.take(np.arange(0))})
    known = {parameter.name for parameter in found.info.parameters}
    given = found.info.resolve({name: value for name, value in QUICK.items() if name in known})
    torch.cuda.reset_peak_memory_stats()
    model = found.fit(
        FitRequest(tables, nothing, given, seed=1, device="cuda:0"), Hooks(progress=steps.append)
    )
    assert steps[-1].step == steps[-1].total_steps
    assert torch.cuda.max_memory_allocated() > 0
    return model


def test_a_generator_trained_on_the_gpu_exports_with_parity(generator: Generator) -> None:
    check_parity(generator, export(generator, read_heart().schema))


def test_the_graph_gives_on_the_gpu_what_it_gives_on_the_cpu(generator: Generator) -> None:
    exported = export(generator, read_heart().schema)
    uniform, normal = noise_for(generator, 1024)
    feed = {name: noise for name, noise in (("uniform", uniform), ("normal", normal)) if noise.shape[1]}
    here = open_session(exported.graph).run(None, feed)
    session = open_session(exported.graph, providers=choose_providers("cuda"))
    assert session.get_providers()[0] == "CUDAExecutionProvider"
    for _ in range(2):  # the second time inputs go where the first ones lay
        for cpu, gpu in zip(here, session.run(None, feed), strict=True):
            assert (cpu != gpu).mean() < 0.01


def test_units_are_the_same_however_they_are_cut_on_the_gpu(generator: Generator, tmp_path: Path) -> None:
    schema, info = Schema((read_heart().schema,)), trainer("ctgan").info
    export_bundle(generator, schema, info, {}, 1, {}, [], {}, tmp_path / "x")
    bundle = read_bundle(tmp_path / "x")
    program = bundle.program(partial(open_session, providers=choose_providers("cuda")))
    assert program.fingerprint != bundle.program().fingerprint
    whole, part = (list(program.units(SampleSpec(seed=3), *cut)) for cut in ((0, 2500), (900, 300)))
    for name in part[0].arrays:
        cells, same = (Array.concat([batch.arrays[name] for batch in batches]) for batches in (part, whole))
        assert cells.to_python() == same.slice(900, 1200).to_python()


def test_whole_numbers_are_the_same_on_the_gpu(generator: Generator) -> None:
    if not hasattr(generator, "in_integers"):
        pytest.skip("computes in float32 alone")
    near = generator.in_integers(*noise_for(generator, 2048, seed=1))
    graph, (uniform, normal) = export(near, read_heart().schema).graph, noise_for(near, 1024)
    feed = {"uniform": uniform, "normal": normal}
    here = open_session(graph).run(None, feed)
    there = open_session(graph, providers=choose_providers("cuda")).run(None, feed)
    for cpu, gpu in zip(here, there, strict=True):
        assert (cpu != gpu).mean() < 0.01
