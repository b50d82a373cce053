"""What only a CUDA device can show. Run with `make test ARGS="-m gpu"` where there is one."""

from __future__ import annotations

import numpy as np
import pytest

from exporters.export import export
from exporters.parity import check_parity
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
    for cpu, gpu in zip(here, session.run(None, feed), strict=True):
        assert (cpu != gpu).mean() < 0.01
