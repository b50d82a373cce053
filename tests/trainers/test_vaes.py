"""What the variational autoencoders do each in their way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from exporters.export import export
from exporters.parity import check_parity
from kohort.columns import Array
from kohort.problem import Problem
from kohort.schema import Kind, Storage
from tables.tableset import Table
from trainers import registry
from trainers.base import Hooks, Progress

torch = pytest.importorskip("torch")

from trainers.autoencoder import Autoencoder, AutoencoderLearner, Settings, mmd  # noqa: E402
from trainers.heads import Classes, Layout  # noqa: E402
from trainers.modes import Modes  # noqa: E402
from trainers.outputs import Cells  # noqa: E402
from trainers.parameters import widths  # noqa: E402

NAMES = ("tvae", "beta-vae", "cvae", "wae")

SWIFT = {
    "epochs": 40,
    "batch_size": 64,
    "embedding_dim": 4,
    "learning_rate": 5e-3,
    "generator_layers": [48],
    "discriminator_layers": [48],
    "compress_dims": [48],
    "decompress_dims": [48],
}
"""Enough to learn a table of three columns in a second or two."""


@pytest.fixture
def pairs(build: Any) -> Table:
    """Two booleans that nearly agree, and a number that tells them."""
    rng = np.random.default_rng(0)
    a = rng.random(400) < 0.4
    flip = rng.random(400) < 0.05
    table: Table = build(
        {
            "x": (Kind.DECIMAL, Array.make(Storage.DOUBLE, np.where(a, 3.0, -3.0) + rng.normal(size=400))),
            "b": (Kind.BOOLEAN, Array.make(Storage.BOOL, a ^ flip)),
            "a": (Kind.BOOLEAN, Array.make(Storage.BOOL, a)),
        }
    )
    return table


def agreement(drawn: Mapping[str, Array]) -> float:
    return float(np.mean(drawn["a"].values == drawn["b"].values))


@pytest.mark.parametrize("name", NAMES)
def test_learns_what_belongs_together(fit: Any, pairs: Table, draw: Any, name: str) -> None:
    drawn = draw(fit(name, pairs, quick=SWIFT), 4_000)
    assert agreement(drawn) > 0.85  # alone 0.52
    assert np.mean(drawn["a"].values == (drawn["x"].values > 0)) > 0.85
    assert drawn["a"].values.mean() == pytest.approx(pairs.arrays["a"].values.mean(), abs=0.04)


def test_a_large_beta_forgets_the_row(fit: Any, pairs: Table, draw: Any) -> None:
    found = [agreement(draw(fit("beta-vae", pairs, quick=SWIFT, beta=beta), 4_000)) for beta in (0.2, 200.0)]
    assert found[0] > 0.85
    assert found[1] < 0.65


def test_beta_is_the_weight_of_the_divergence(fit: Any, pairs: Table) -> None:
    reports: list[Progress] = []
    fit("beta-vae", pairs, Hooks(reports.append), beta=7.0, epochs=2)
    for report in reports:
        losses = report.losses
        assert losses["loss"] == pytest.approx(losses["reconstruction"] + 7 * losses["divergence"], rel=1e-4)


def test_beta_rises_while_warming_up(fit: Any, pairs: Table) -> None:
    reports: list[Progress] = []
    fit("beta-vae", pairs, Hooks(reports.append), beta=8.0, beta_warmup_epochs=3, epochs=5)
    weights = [(r.losses["loss"] - r.losses["reconstruction"]) / r.losses["divergence"] for r in reports]
    assert weights == pytest.approx([2.0, 4.0, 6.0, 8.0, 8.0], rel=1e-3)


# --- the conditional one


def test_a_target_is_the_last_column_of_classes_unless_named(fit: Any, pairs: Table) -> None:
    assert fit("cvae", pairs).asked.feature == 2
    assert fit("cvae", pairs, target="b").asked.feature == 1


@pytest.mark.parametrize("target", ["x", "nowhere"])
def test_a_target_without_classes_is_refused(fit: Any, pairs: Table, target: str) -> None:
    with pytest.raises(Problem) as caught:
        fit("cvae", pairs, target=target)
    assert caught.value.reason == "INVALID_PARAMETER"
    assert target not in str(caught.value)


def test_a_rare_target_keeps_what_belongs_to_it(fit: Any, build: Any, draw: Any) -> None:
    rng = np.random.default_rng(1)
    rare = rng.random(800) < 0.05
    x = np.where(rare, 5.0, -1.0) + rng.normal(size=800)
    table = build(
        {
            "x": (Kind.DECIMAL, Array.make(Storage.DOUBLE, x)),
            "y": (Kind.BOOLEAN, Array.make(Storage.BOOL, rare)),
        }
    )
    drawn = draw(fit("cvae", table, quick=SWIFT), 8_000)
    assert drawn["y"].values.mean() == pytest.approx(rare.mean(), abs=0.01)
    assert np.median(drawn["x"].values[drawn["y"].values]) == pytest.approx(5.0, abs=1.0)


def test_a_target_of_many_classes_and_its_graph_agree(fit: Any, build: Any, draw: Any) -> None:
    rng = np.random.default_rng(2)
    codes = rng.choice(40, 900, p=np.arange(1, 41) / 820)
    table = build(
        {
            "x": (Kind.DECIMAL, Array.make(Storage.DOUBLE, rng.normal(size=900))),
            "code": (Kind.CODE, Array.make(Storage.STRING, codes, None, [f"C{i}" for i in range(40)])),
        }
    )
    generator = fit("cvae", table, max_categories=8)
    assert generator.asked.content.rest.size > 20
    check_parity(generator, export(generator, table.schema), rows=4096)
    drawn = draw(generator, 20_000)["code"]
    assert len({*drawn.strings()}) > 30


# --- the loss


def learner_of(wasserstein: bool = False, **changes: Any) -> AutoencoderLearner:
    """Over a number in one mode, sometimes null, and its "present"."""
    rng = np.random.default_rng(0)
    modes = Modes(np.ones(1), np.zeros(1), np.ones(1))
    layout = Layout.of([Classes.of(np.array([30, 70]), 8), modes])
    present = rng.random(100) < 0.7
    alphas, ones = layout.encode([present.astype(np.int64), rng.normal(size=100)], rng)
    known = np.ones(ones.shape, dtype=np.bool_)
    number = next(place for place, head in enumerate(layout.heads) if head.alpha is not None)
    known[:, number] = present
    cells = Cells(alphas, ones, known)
    settings = Settings(2, [8], [8], 1e-2, 0.0, wasserstein=wasserstein, **changes)
    torch.manual_seed(0)
    nothing = Cells(alphas[:0], ones[:0], known[:0])
    model = Autoencoder(layout, settings)
    return AutoencoderLearner(model, layout, settings, (cells, nothing), None, 0, torch.device("cpu"))


def test_a_null_says_nothing_of_its_number() -> None:
    first, second = learner_of(), learner_of()
    table = second._tables[0]
    hidden = ~table.known.all(dim=1)
    table.alphas[hidden] = 0.77
    losses = []
    for learner in (first, second):
        torch.manual_seed(1)
        losses.append(learner._losses(0, torch.arange(100)))
    assert hidden.any()
    assert torch.equal(losses[0]["reconstruction"], losses[1]["reconstruction"])
    table.alphas[~hidden] = 0.77
    torch.manual_seed(1)
    assert second._losses(0, torch.arange(100))["reconstruction"] != losses[0]["reconstruction"]


def test_divergence_is_that_of_gaussians() -> None:
    learner = learner_of()
    rows = torch.arange(100)
    means, logs = learner._encode(learner._tables[0].inputs(rows), None)
    posterior = torch.distributions.Normal(means, (0.5 * logs).exp())
    wanted = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    assert torch.allclose(learner._losses(0, rows)["divergence"], wanted, rtol=1e-4)


def test_codes_are_drawn_from_the_posterior() -> None:
    """Reconstruction varies from draw to draw as much as the posterior is wide."""
    learner, rows = learner_of(), torch.arange(100)
    encoder: Any = learner.model.encoder
    with torch.no_grad():
        wide = [float(learner._losses(0, rows)["reconstruction"]) for _ in range(20)]
        encoder[-1].weight[2:] = 0.0
        encoder[-1].bias[2:] = -50.0  # held at the narrowest
        narrow = [float(learner._losses(0, rows)["reconstruction"]) for _ in range(20)]
    assert 0 < np.std(narrow) < 0.1 * np.std(wide)


def test_deviations_of_numbers_are_learned() -> None:
    learner = learner_of(divergence=100.0)  # the code says nothing: what remains is the spread
    for epoch in range(300):
        torch.manual_seed(epoch)
        learner.step(np.arange(100), np.random.default_rng(epoch))
    table = learner._tables[0]
    wanted = float(table.alphas[table.known.all(dim=1)].std())
    assert float(learner.model.deviations.detach()[0]) == pytest.approx(wanted, rel=0.15)


# --- the discrepancy


def test_discrepancy_is_none_between_equal_distributions_and_grows_with_distance() -> None:
    torch.manual_seed(0)
    prior = torch.randn(500, 4)
    found = [float(mmd(torch.randn(500, 4) + shift, prior)) for shift in (0.0, 0.5, 1.5)]
    assert abs(found[0]) < 0.05
    assert found[0] < 0.2 * found[1] < 0.2 * found[2]
    assert float(mmd(0.2 * torch.randn(500, 4), prior)) > found[1]
    assert float(mmd(prior[:1], prior[:1])) == 0.0


def test_training_lessens_the_discrepancy() -> None:
    learner = learner_of(wasserstein=True, divergence=50.0)
    encoder: Any = learner.model.encoder
    with torch.no_grad():
        encoder[-1].bias += 3.0
    found = []
    for epoch in range(100):
        torch.manual_seed(epoch)
        losses = learner.step(np.arange(100), np.random.default_rng(epoch))
        found.append(float(torch.as_tensor(losses["divergence"]).detach()))
    assert np.mean(found[-5:]) < 0.1 * found[0]


# --- the finished generator


def test_what_the_codes_left_to_the_prior_is_taken_back() -> None:
    """Codes of the rows shifted and narrowed: noise is led to where they are."""
    learner = learner_of()
    encoder: Any = learner.model.encoder
    with torch.no_grad():
        encoder[-1].bias[:2] += 5.0
    rows = torch.arange(100)
    means, logs = learner._encode(learner._tables[0].inputs(rows), None)
    before = learner.model.first.weight.clone(), learner.model.first.bias.clone()
    _, deviations = learner.finish(3, None)
    noise = torch.randn(50_000, 2)
    given = noise @ learner.model.first.weight.T + learner.model.first.bias
    codes = means.repeat(500, 1) + torch.randn(50_000, 2) * (0.5 * logs).exp().repeat(500, 1)
    wanted = codes @ before[0].T + before[1]
    assert torch.allclose(given.mean(0), wanted.mean(0), atol=0.05)
    assert torch.allclose(given.T.cov(), wanted.T.cov(), atol=0.1)
    assert deviations.shape == (1,)


@pytest.mark.parametrize("name", NAMES)
def test_spikes_and_rounding_come_back(fit: Any, build: Any, draw: Any, name: str) -> None:
    """Three tenths are 0, all else comes in tens: modes alone would blur both."""
    rng = np.random.default_rng(3)
    x = np.where(rng.random(2_000) < 0.3, 0, 10 * rng.integers(8, 20, 2_000))
    drawn = draw(fit(name, build({"x": (Kind.INTEGER, Array.make(Storage.INT64, x))})), 10_000)["x"].values
    assert np.mean(drawn == 0) == pytest.approx(0.3, abs=0.03)
    assert np.mean(drawn % 10 == 0) > 0.95


def test_patients_count_the_same_where_that_is_asked(fit: Any, build: Any, draw: Any) -> None:
    """Checked where it is cheapest: classes of the finished generator."""
    from dataclasses import replace

    from kohort.schema import Handling
    from tables.tableset import TableSet
    from trainers.base import FitRequest

    rng = np.random.default_rng(4)
    rows = np.where(np.arange(200) < 20, 40, 2)  # one in ten has twenty times the rows
    ill = np.repeat(np.arange(200) < 20, rows)
    table = build(
        {
            "patient": (Kind.INTEGER, Array.make(Storage.INT64, np.repeat(np.arange(200), rows))),
            "ill": (Kind.BOOLEAN, Array.make(Storage.BOOL, ill)),
            "x": (Kind.DECIMAL, Array.make(Storage.DOUBLE, rng.normal(size=ill.size))),
        }
    )
    columns = (replace(table.schema.columns[0], handling=Handling.DROP), *table.schema.columns[1:])
    schema = replace(table.schema, columns=columns, subject_key="patient")
    part = Table(schema, dict(table.arrays))
    trainer = registry.trainer("tvae")
    request = FitRequest(
        TableSet({schema.name: part}),
        TableSet({schema.name: part.take(np.zeros(0, np.intp))}),
        trainer.info.resolve(
            {"epochs": 3, "compress_dims": [16], "decompress_dims": [16], "embedding_dim": 4}
        ),
        seed=1,
        equal_patients=True,
    )
    drawn = draw(trainer.fit(request, Hooks()), 10_000)
    assert drawn["ill"].values.mean() == pytest.approx(0.1, abs=0.03)  # of rows 0.69


def test_widths_say_what_they_are_of() -> None:
    parameter = widths("generator_layers", (128, 64), "decoder")
    assert parameter.check([32]) == [32]
    assert "decoder" in parameter.description
    with pytest.raises(Problem):
        parameter.check([0])
