"""What all of Kohort's dashboards share: variables, marks, and small makers."""

from __future__ import annotations

from collections.abc import Sequence

from tools.dashboards.grafana import Annotation, Dashboard, Query, Row, Variable
from tools.dashboards.series import Series

INSTANCE = Variable("instance", "Server", "kohort_build_info")
MACHINE = Variable("instance", "Machine", "kohort_disk_size_bytes")
"""Servers, and workers on other machines that serve metrics of their own."""
TRAINER = Variable("trainer", "Trainer", "kohort_jobs_ended_total")
OF_TRAINER = 'trainer=~"$trainer"'

SERVICE, JOBS, TRAINING, SAMPLING, DEVICES, STORE = (
    ("kohort-service", "Service"),
    ("kohort-jobs", "Jobs"),
    ("kohort-training", "Training and evaluation"),
    ("kohort-sampling", "Sampling"),
    ("kohort-devices", "Devices"),
    ("kohort-store", "Store"),
)

MARKS = (
    Annotation(
        "Starts",
        'changes(process_start_time_seconds{job="kohort", instance=~"$instance"}[2m]) > 0',
        "{{instance}} was started again",
        "orange",
    ),
    Annotation(
        "Alerts",
        'max by (alertname, severity) (ALERTS{alertname=~"Kohort.+", alertstate="firing"})',
        "{{alertname}} ({{severity}})",
        "red",
    ),
)


def dashboard(
    about: tuple[str, str],
    description: str,
    rows: Sequence[Row],
    variables: Sequence[Variable] = (INSTANCE,),
) -> Dashboard:
    """A dashboard with the marks that all have."""
    uid, title = about
    return Dashboard(uid, f"Kohort / {title}", description, rows, variables, MARKS)


def quantiles(series: Series, *shares: float, legend: str = "") -> list[Query]:
    """A query for each quantile; `legend` is put behind its name."""
    return [Query(series.quantile(share), f"p{share * 100:g} {legend}".strip()) for share in shares]


def heat(series: Series) -> list[Query]:
    """The query of a heatmap."""
    return [Query(series.heat(), "{{le}}", shape="heatmap")]


def column(expr: str) -> Query:
    """The query of a table's column."""
    return Query(expr, instant=True, shape="table")


def share(part: str, whole: str) -> str:
    """A part of a whole; nothing where there is no whole."""
    return f"{part} / ({whole} > 0)"
