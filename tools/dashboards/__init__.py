"""Grafana's dashboards of Kohort, as code: `python -m tools.dashboards` writes deploy/grafana/dashboards/."""

from __future__ import annotations

import json
from pathlib import Path

from tools.dashboards import devices, jobs, sampling, service, store, training
from tools.dashboards.grafana import Dashboard

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "dashboards"

DASHBOARDS: tuple[Dashboard, ...] = (
    service.DASHBOARD,
    jobs.DASHBOARD,
    training.DASHBOARD,
    sampling.DASHBOARD,
    devices.DASHBOARD,
    store.DASHBOARD,
)


def files() -> dict[str, str]:
    """The text of every file, by its name."""
    return {
        f"{board.uid}.json": json.dumps(board.to_json(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"
        for board in DASHBOARDS
    }


def write() -> list[Path]:
    """Writes the files and removes those of dashboards that are gone; what was written."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    texts = files()
    for old in FOLDER.glob("*.json"):
        if old.name not in texts:
            old.unlink()
    for name, text in texts.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return [FOLDER / name for name in texts]
