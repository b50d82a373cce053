"""What trainings do and what comes of them: losses, speed, privacy and quality, releases."""

from __future__ import annotations

from evaluators.gate import DEFAULT_RULES, RuleKind
from evaluators.headlines import HEADLINES
from tools.dashboards.common import (
    INSTANCE,
    JOBS,
    OF_TRAINER,
    SAMPLING,
    TRAINER,
    TRAINING,
    dashboard,
    quantiles,
)
from tools.dashboards.grafana import Panel, Query, Row
from tools.dashboards.limits import ANY_IS_BAD, Limits, high, low
from tools.dashboards.looks import Bars, Lines, Number
from tools.dashboards.series import RANGE, each, once

_LOCKS = {
    rule.metric: Limits("green", ((max(rule.threshold, 0.001), "red"),))
    for rule in DEFAULT_RULES
    if rule.kind is RuleKind.PRIVACY
}
"""Where the release policy that nobody changed locks a model."""
_COUNTS = frozenset({"k_anonymity"})
"""Headline metrics that are numbers of patients, not shares."""

_speed = once("kohort_train_rows_per_second", OF_TRAINER)
_eta = once("kohort_train_eta_seconds", OF_TRAINER)
_loss = once("kohort_train_loss", OF_TRAINER).by("trainer", "loss")
_norm = once("kohort_train_gradient_norm", OF_TRAINER).by("trainer")
_epochs = once("kohort_train_epochs_total", OF_TRAINER)
_rows = once("kohort_train_rows_total", OF_TRAINER)
_states = once("kohort_release_state")
_alerts = once("kohort_alerts_raised_total")
_evaluations = once("kohort_evaluations_total")
_took = once("kohort_evaluation_seconds")


def _headlines(*families: str) -> str:
    """The headline metrics of some families that are shares."""
    names = [name for family in families for name in HEADLINES[family] if name not in _COUNTS]
    return once("kohort_evaluation_headline", f'metric=~"{"|".join(names)}"').by("metric").now()


def _state(name: str, text: str, limits: Limits) -> Panel:
    return Panel(
        f"Models {name}",
        text,
        [Query(once("kohort_release_state", f'state="{name}"').now())],
        "short",
        Number(limits=limits, decimals=0),
        width=4,
        height=4,
        runbooks=("KohortModelsLocked",) if name == "LOCKED" else (),
    )


_now = Row(
    "Now",
    [
        Panel(
            "Rows learned per second",
            "Of all jobs that fit now; 0 while none does. Zero with running jobs: they prepare, export "
            "or evaluate, or are stuck.",
            [Query(_speed.now())],
            "rowsps",
            Number(),
            width=4,
            height=4,
            runbooks=("KohortTrainingStalled",),
            to=JOBS,
        ),
        Panel(
            "Fitted in",
            "Until the jobs that fit now have fitted, as the slowest of them estimates; 0 while none does.",
            [Query(_eta.now("max"))],
            "s",
            Number(),
            width=4,
            height=4,
        ),
        _state(
            "OPEN",
            "Models whose rows may leave without a word. A fall without deletions: the policy was made "
            "stricter, or a report found more.",
            Limits("green"),
        ),
        _state(
            "OPEN_WITH_WARNING",
            "Models whose rows may leave with a warning: read their reports before you use them.",
            high(1, 10),
        ),
        _state(
            "INCONCLUSIVE",
            "Models whose reports allow no decision: too few patients, or nothing was measured. "
            "Evaluate them with more.",
            high(1, 10),
        ),
        _state(
            "LOCKED",
            "Models whose rows may not leave: a report says that they tell of patients. Train anew "
            "with other parameters, or have somebody who may decide override it.",
            ANY_IS_BAD,
        ),
    ],
)

_learning = Row(
    "Learning",
    [
        Panel(
            "Loss by name",
            "The latest losses of each trainer's jobs. Validation that rises while the loss falls is "
            "learning by heart; a loss that jumps or becomes NaN diverges: lower the learning rate.",
            [Query(f"{_loss.now()} != 0", "{{trainer}} {{loss}}")],
            "none",
            Lines(legend=("min", "lastNotNull")),
            width=12,
            height=9,
            runbooks=("KohortTrainingDiverges",),
        ),
        Panel(
            "Gradient norm",
            "On average over an epoch. Growth over orders of magnitude comes before divergence; next "
            "to nothing for long: nothing is learned any more.",
            [Query(f"{_norm.now()} > 0", "{{trainer}}")],
            "none",
            Lines(log=True),
            width=12,
            height=9,
        ),
        Panel(
            "Rows per second by trainer",
            "Speed of the jobs that fit now. Half of what it was: two jobs share the cores, or the "
            "machine is busy.",
            [Query(f"{_speed.by('trainer').now()} > 0", "{{trainer}}")],
            "rowsps",
            Lines(stack=True),
        ),
        Panel(
            "Rows learned from",
            "Rows of all epochs in the chosen time, by trainer: who uses the machines. Nothing with "
            "running jobs: see Time until fitted.",
            [Query(f"{_rows.by('trainer').increase(RANGE)} > 0", "{{trainer}}", instant=True)],
            "short",
            Bars(least=0),
        ),
        Panel(
            "Epochs",
            "Epochs or iterations per second, by trainer. None while jobs run: see which phase they are in.",
            [Query(f"{_epochs.by('trainer').rate()} > 0", "{{trainer}}")],
            "ops",
            Lines(),
            runbooks=("KohortTrainingStalled",),
            to=JOBS,
        ),
        Panel(
            "Time until fitted",
            "As the slowest job of each trainer estimates. It should fall as time goes by; one that "
            "does not is slowing down.",
            [Query(f"{_eta.by('trainer').now()} > 0", "{{trainer}}")],
            "s",
            Lines(),
            width=12,
        ),
        Panel(
            "Alerts raised",
            "Metrics that passed the threshold that a request set while its model was trained; "
            "STOP_TRAINING ended the job.",
            [Query(_alerts.by("action").increase(), "{{action}}")],
            "short",
            Lines(bars=True, stack=True, legend=("sum",)),
            width=12,
        ),
    ],
)

_privacy = Row(
    "Privacy and quality: the worst of the newest reports on all models",
    [
        Panel(
            "Privacy",
            "Risks: the higher, the worse. membership_inference_auc is harmless at 0.5, excesses and "
            "advantages at 0. One that climbs: a model was added that tells of patients; its report "
            "says which columns.",
            [Query(_headlines("PRIVACY"), "{{metric}}")],
            "none",
            Lines(legend=("lastNotNull", "max")),
            width=12,
            height=11,
            runbooks=("KohortModelsLocked",),
        ),
        Panel(
            "Privacy now",
            "The same, as it is now. Red is where the default policy locks a model, once the interval of the "
            "metric is above it: find the model by its report, and train it anew with fewer epochs.",
            [Query(_headlines("PRIVACY"), "{{metric}}", instant=True)],
            "none",
            Bars(own=_LOCKS, least=0, most=1, decimals=3),
            width=8,
            height=11,
        ),
        Panel(
            "Patients that are alike, at the least",
            "k_anonymity: how many synthetic patients at the least share the quasi-identifiers of one. "
            "Below 5: ask for coarser values.",
            [Query(once("kohort_evaluation_headline", 'metric="k_anonymity"').now())],
            "short",
            Number(limits=low(3, 5), decimals=0),
            width=4,
            height=11,
        ),
        Panel(
            "Fidelity",
            "How alike synthetic and real rows are: similarities and coverage are best at 1, c2st_auc "
            "at 0.5, rule_violation_share at 0. A fall: a model that learned too little.",
            [Query(_headlines("FIDELITY"), "{{metric}}")],
            "none",
            Lines(legend=("lastNotNull", "min")),
            width=12,
            height=9,
        ),
        Panel(
            "Utility and fairness",
            "utility_ratio: what a predictor trained on synthetic rows is worth beside one trained on "
            "real ones, best at 1. Differences between groups are best at 0.",
            [Query(_headlines("UTILITY", "FAIRNESS"), "{{metric}}")],
            "none",
            Lines(legend=("lastNotNull", "min")),
            width=12,
            height=9,
        ),
    ],
)

_release = Row(
    "Evaluations and releases",
    [
        Panel(
            "Models by release state",
            "What the gate says of all models. A wave of LOCKED after a change of policy is the "
            "policy; after a change of data it is the data.",
            [Query(_states.by("state").now(), "{{state}}")],
            "short",
            Lines(stack=True, decimals=0),
            runbooks=("KohortModelsLocked",),
        ),
        Panel(
            "Evaluations that ended",
            "By profile and outcome, of trainings and by themselves. FAILED: models were published "
            "without a report and stay INCONCLUSIVE.",
            [Query(_evaluations.by("profile", "outcome").increase(), "{{profile}} {{outcome}}")],
            "short",
            Lines(stack=True, bars=True, legend=("sum",)),
            runbooks=("KohortEvaluationsFailing",),
        ),
        Panel(
            "Duration of evaluations",
            "FULL takes many times STANDARD's. Longer and longer: larger tables, or a machine that is "
            "shared.",
            quantiles(_took, 0.5, 0.95),
            "s",
            Lines(),
        ),
        Panel(
            "Refused because the model is locked",
            "Samples and downloads. Many of one client: tell its owner why the model is locked.",
            [Query(each("kohort_samples_refused_locked_total").increase(), "refused")],
            "short",
            Lines(bars=True, legend=("sum",)),
            width=24,
            height=6,
            runbooks=("KohortSamplesRefusedLocked",),
            to=SAMPLING,
        ),
    ],
)

DASHBOARD = dashboard(
    TRAINING,
    "What trainings do and what comes of them: losses and speed, privacy and quality of the models, "
    "the release gate.",
    [_now, _learning, _privacy, _release],
    (INSTANCE, TRAINER),
)
