from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters.export import export
from kohort.columns import Array
from kohort.problem import Problem
from kohort.schema import Finding, Kind, Storage
from tables.tableset import Table
from trainers import checkpoint, registry
from trainers.base import Hooks, Progress, Stopped

torch = pytest.importorskip("torch")
pytest.importorskip("ctgan")

from ctgan.synthesizers.ctgan import Generator as Network  # noqa: E402

from trainers import adversarial  # noqa: E402
from trainers.adversarial import Game, Settings  # noqa: E402
from trainers.conditions import Conditions, RowSampler  # noqa: E402
from trainers.heads import Classes, Layout  # noqa: E402
from trainers.modes import Modes  # noqa: E402

SETTINGS = Settings(
    epochs=1,
    batch_size=40,
    embedding_dim=4,
    discriminator_steps=1,
    pac=10,
    generator_lr=1e-3,
    generator_decay=0.0,
    discriminator_lr=1e-3,
    discriminator_decay=0.0,
)


SWIFT = {
    "epochs": 80,
    "batch_size": 100,
    "pac": 2,
    "generator_dim": [64],
    "discriminator_dim": [64],
    "generator_lr": 2e-3,
    "discriminator_lr": 2e-3,
}
"""Enough to learn a table of three columns in a second."""


class Packs(torch.nn.Module):  # type: ignore[misc]
    """A linear critic of packs: the penalty's gradient is its weight, whatever the rows."""

    def __init__(self, width: int, pac: int) -> None:
        super().__init__()
        self.seq = torch.nn.Sequential(torch.nn.Linear(width * pac, 1))
        self.width = width * pac

    def forward(self, rows: Any) -> Any:
        return self.seq(rows.reshape(-1, self.width))


@pytest.fixture
def game() -> Game:
    """Linear networks over one number and one column of three classes."""
    rng = np.random.default_rng(0)
    modes = Modes(np.array([0.5, 0.5]), np.array([-1.0, 1.0]), np.array([0.2, 0.2]))
    classes = rng.choice(3, 200, p=[0.6, 0.3, 0.1])
    layout = Layout.of([modes, Classes.of(np.bincount(classes), 512)])
    alphas, ones = layout.encode([rng.normal(size=200), classes], rng)
    conditions = Conditions.of(layout, ones, log_frequency=True)
    torch.manual_seed(0)
    networks = (Network(4 + 3, [], layout.width), Packs(layout.width + 3, 10))
    return Game(
        networks, layout, RowSampler.of(conditions, layout, ones), alphas, ones, SETTINGS, torch.device("cpu")
    )


def test_outputs_are_a_tanh_and_a_distribution_per_head(game: Game) -> None:
    logits, rows = game._generate(torch.arange(40) % 3, 40)
    assert logits.shape == rows.shape == (40, 6)
    assert torch.equal(rows[:, 0], torch.tanh(logits[:, 0]))
    assert torch.allclose(rows[:, 1:3].sum(1), torch.ones(40))
    assert torch.allclose(rows[:, 3:6].sum(1), torch.ones(40))
    assert (rows[:, 1:].amax(1) > 0.5).float().mean() > 0.9  # a temperature of 0.2 is nearly a choice


def test_gumbel_softmax_chooses_by_probability(game: Game) -> None:
    with torch.no_grad():
        game.generator.seq[0].weight.zero_()
        game.generator.seq[0].bias.copy_(torch.log(torch.tensor([1.0, 0.5, 0.5, 0.7, 0.2, 0.1])))
        chosen = torch.cat(
            [game._generate(torch.zeros(40, dtype=torch.long), 40)[1][:, 3:].argmax(1) for _ in range(200)]
        )
    assert np.allclose(np.bincount(chosen.numpy()) / 8_000, [0.7, 0.2, 0.1], atol=0.02)


def rows_of(game: Game, rows: Any) -> Any:
    """Rows of the table as the generator would give them."""
    made = torch.zeros(rows.numel(), 6)
    made[:, 0] = game._alphas[rows, 0]
    return made.scatter(1, game._ones[rows].long(), 1.0)


def test_the_critic_sees_made_rows_and_real_ones_with_their_conditions(game: Game) -> None:
    fake, rows, asked = torch.rand(40, 6), torch.arange(40) * 3, torch.arange(40) % 3
    critic, condition = game.discriminator, torch.nn.functional.one_hot(asked, 3).float()
    joined = [torch.cat([x, condition], 1) for x in (fake, rows_of(game, rows))]
    distance = critic(joined[0]).mean() - critic(joined[1]).mean()
    norm = critic.seq[0].weight.norm()  # the slope of a linear critic
    found = game._critic_loss(fake, rows, asked)
    assert torch.allclose(found, distance + 10 * (norm - 1) ** 2, atol=1e-5)


def test_condition_loss_is_cross_entropy_of_the_class_asked_for(game: Game) -> None:
    logits, asked = torch.randn(40, 6), torch.arange(40) % 3
    wanted = torch.nn.functional.cross_entropy(logits[:, 3:6], asked)
    assert torch.allclose(game._condition_loss(logits, asked), wanted)
    assert game._condition_loss(logits, None) == 0


def test_calibration_gives_every_class_its_frequency_and_every_number_its_mean(game: Game) -> None:
    game.calibrate(seed=3)
    with torch.no_grad():
        logits = game._sampled(20_000, np.random.default_rng(5))
    given = torch.softmax(logits[:, 3:6], 1).mean(0).numpy()
    real = np.bincount(game._ones[:, 1].numpy() - 3) / 200
    assert np.allclose(given, real, atol=0.02)
    tanhs = torch.tanh(logits[:, 0])
    assert tanhs.mean().item() == pytest.approx(game._alphas.mean().item(), abs=0.02)


@pytest.mark.parametrize(
    ("batch_size", "pac", "rows"),
    [(500, 10, 500), (505, 10, 500), (5, 10, 10), (1, 1, 2), (3, 1, 3), (1024, 1000, 1000), (60, 7, 56)],
)
def test_a_step_takes_whole_packs(batch_size: int, pac: int, rows: int) -> None:
    settings = Settings(**{**vars(SETTINGS), "batch_size": batch_size, "pac": pac})
    assert settings.rows_per_step == rows


@pytest.mark.parametrize(
    "parameters", [{"batch_size": 1, "pac": 7}, {"pac": 400}, {"batch_size": 1, "pac": 1, "epochs": 1}]
)
def test_batches_that_fit_neither_table_nor_packs(
    fit: Any, build: Any, draw: Any, parameters: dict[str, int]
) -> None:
    rng = np.random.default_rng(0)
    table = build({"x": (Kind.DECIMAL, Array.make(Storage.DOUBLE, rng.normal(size=30)))})
    assert len(draw(fit("ctgan", table, **parameters), 10)["x"]) == 10


def test_learns_what_belongs_together(fit: Any, build: Any, draw: Any) -> None:
    rng = np.random.default_rng(0)
    a = rng.random(600) < 0.4
    flip = rng.random(600) < 0.05
    cells = {
        "a": (Kind.BOOLEAN, Array.make(Storage.BOOL, a)),
        "b": (Kind.BOOLEAN, Array.make(Storage.BOOL, a ^ flip)),
        "x": (Kind.DECIMAL, Array.make(Storage.DOUBLE, np.where(a, 3.0, -3.0) + rng.normal(size=600))),
    }
    trained = fit("ctgan", build(cells), quick=SWIFT)
    drawn = {key: array.values for key, array in draw(trained, 4_000).items()}
    assert np.mean(drawn["a"] == drawn["b"]) > 0.8  # alone 0.52
    assert np.mean(drawn["a"] == (drawn["x"] > 0)) > 0.8
    assert drawn["a"].mean() == pytest.approx(a.mean(), abs=0.05)


@pytest.mark.slow
def test_heart_keeps_correlations(fit: Any, heart: Table, draw: Any, floats: Any) -> None:
    small = {"epochs": 150, "batch_size": 50, "pac": 1, "generator_lr": 1e-3, "discriminator_lr": 1e-3}
    drawn = floats(draw(fit("ctgan", heart, quick=small), 10_000))
    real = floats(heart.arrays)
    whole = [key for key, cells in real.items() if not np.isnan(cells).any()]
    truth, found = (np.corrcoef(np.stack([t[key] for key in whole])) for t in (real, drawn))
    off = ~np.eye(len(whole), dtype=bool)
    assert np.abs(found - truth)[off].mean() < 0.6 * np.abs(truth)[off].mean()  # columns alone: 1


def test_a_unit_does_not_depend_on_its_batch(fit: Any, heart: Table, noise: Any) -> None:
    generator = fit("ctgan", heart)
    uniform, normal = noise(generator, 400)
    whole = generator.reference(uniform, normal)
    for unit in (0, 123, 399):
        alone = generator.reference(uniform[unit : unit + 1], normal[unit : unit + 1])
        for feature, cells in zip(alone, whole, strict=True):
            assert feature[0] == pytest.approx(cells[unit], rel=1e-4, abs=1e-4)


def test_losses_that_are_no_numbers_end_the_fit(
    fit: Any, heart: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adversarial, "PENALTY", float("nan"))
    with pytest.raises(Problem) as caught:
        fit("ctgan", heart)
    assert caught.value.reason == "TRAINING_DIVERGED"


def test_the_caller_s_random_state_is_left_alone(fit: Any, heart: Table) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    fit("ctgan", heart)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_seed_matters(fit: Any, heart: Table) -> None:
    first, second = (export(fit("ctgan", heart, seed=seed), heart.schema).graph for seed in (1, 2))
    assert first != second


def test_reports_hold_both_losses_and_the_generators_gradient(fit: Any, heart: Table) -> None:
    reports: list[Progress] = []
    fit("ctgan", heart, Hooks(reports.append))
    assert set(reports[0].losses) == {"generator", "discriminator"}  # no validation: never stops early
    assert all(r.gradient_norm > 0 for r in reports)


def test_half_a_batch_is_whole_packs(fit: Any, heart: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    draw = RowSampler.draw

    def scarce(self: RowSampler, size: int, rng: np.random.Generator) -> Any:
        sizes.append(size)
        if size > 20:
            raise MemoryError
        return draw(self, size, rng)

    monkeypatch.setattr(RowSampler, "draw", scarce)
    found: list[Finding] = []
    fit("ctgan", heart, Hooks(warn=found.append))
    assert sizes[:2] == [60, 30]
    assert set(sizes[2:]) == {10}
    assert sum(f.reason == "BATCH_HALVED" for f in found) == 2


def test_time_that_runs_out_leaves_a_generator(fit: Any, heart: Table, draw: Any) -> None:
    reports: list[Progress] = []
    found: list[Finding] = []
    hooks = Hooks(reports.append, warn=found.append, seconds_left=lambda: 2 - len(reports))
    generator = fit("ctgan", heart, hooks, epochs=1_000)
    assert [f.message for f in found if f.reason == "STOPPED_EARLY"] == [
        "time ran out after 2 of 1000 epochs: the best model so far is kept"
    ]
    assert len(draw(generator, 10)["age"]) == 10


@pytest.fixture
def saved(fit: Any, heart: Table, tmp_path: Path) -> Path:
    reports: list[Progress] = []
    with pytest.raises(Stopped):
        fit("ctgan", heart, Hooks(reports.append, lambda: len(reports) > 1, checkpoints=tmp_path))
    return tmp_path


def epochs_of(fit: Any, heart: Table, folder: Path, **parameters: Any) -> int:
    """How many epochs a fit with that folder ends."""
    reports: list[Progress] = []
    fit("ctgan", heart, Hooks(reports.append, checkpoints=folder), **parameters)
    return len(reports)


@pytest.mark.parametrize("change", [{"seed": 2}, {"generator_lr": 1e-3}])
def test_a_checkpoint_of_another_run_is_ignored(
    fit: Any, heart: Table, saved: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    fresh = epochs_of(fit, heart, tmp_path / "none", **change)
    assert epochs_of(fit, heart, tmp_path, **change) == fresh
    assert epochs_of(fit, heart, saved) < fresh


def test_checkpoints_while_training_change_nothing(
    fit: Any, heart: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "EVERY_SECONDS", 0.0)
    whole = fit("ctgan", heart, Hooks(checkpoints=tmp_path))
    # All steps are done, and the generator is the one that a fit without checkpoints gives.
    again = fit("ctgan", heart, Hooks(checkpoints=tmp_path))
    plain = fit("ctgan", heart)
    graphs = {export(g, heart.schema).graph for g in (whole, again, plain)}
    assert len(graphs) == 1


def test_parameters_are_those_of_ctgan() -> None:
    info = registry.trainer("ctgan").info
    found = info.resolve({})
    assert (found.pop("max_categories"), found.pop("precision")) == (512, "float32")
    assert found == {
        "epochs": 300,
        "batch_size": 500,
        "embedding_dim": 128,
        "generator_dim": [256, 256],
        "discriminator_dim": [256, 256],
        "generator_lr": 2e-4,
        "generator_decay": 1e-6,
        "discriminator_lr": 2e-4,
        "discriminator_decay": 1e-6,
        "discriminator_steps": 1,
        "log_frequency": True,
        "pac": 10,
    }
    for name, value in (("epochs", 0), ("batch_size", 1025), ("pac", 1001), ("generator_dim", [])):
        with pytest.raises(Problem):
            info.resolve({name: value})
