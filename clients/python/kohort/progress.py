"""Live progress of a job on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kohort.resources import JobInfo, JobState

View = Callable[[JobInfo], None]


@contextmanager
def progress_view(progress: bool | View) -> Iterator[View]:
    """What to call with each news of a job: the caller's function, a live bar, or nothing.

    The bar needs a terminal; with `rich` installed it is drawn by it, else it is one plain line.
    """
    if callable(progress):
        yield progress
    elif not progress or not sys.stderr.isatty():
        yield lambda _: None
    else:
        try:
            import rich.progress  # noqa: F401
        except ImportError:
            yield _plain_line
            sys.stderr.write("\n")
            return
        with rich_view() as view:
            yield view


@contextmanager
def rich_view(console: Any = None) -> Iterator[View]:
    """A live bar by `rich`, on stderr by default: phase, epochs, losses, rows per second, time left."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[steps]}"),
        TextColumn("{task.fields[figures]}", style="dim"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console or Console(stderr=True)) as bar:
        task = bar.add_task("waiting", total=None, steps="", figures="")

        def show(job: JobInfo) -> None:
            made = job.progress
            total = made.total_steps if made and made.total_steps else None
            bar.update(
                task,
                description=headline(job),
                total=1 if job.state.terminal else total,
                completed=1 if job.state.terminal else made.step if made else 0,
                steps=steps(job),
                figures=figures(job),
            )

        yield show


def headline(job: JobInfo) -> str:
    """Where the job stands in a few words."""
    if job.state is JobState.QUEUED:
        before = job.queue_position
        if before is None:
            return "queued"
        return f"queued, {before} before it" if before else "queued, next"
    if job.state is JobState.RUNNING:
        again = f" (attempt {job.attempt})" if job.attempt > 1 else ""
        return f"{job.phase or 'running'}{again}"
    return str(job.state.value)


def steps(job: JobInfo) -> str:
    """Epochs done, such as "12/300"."""
    made = job.progress
    if made is None:
        return ""
    return f"{made.step}/{made.total_steps}" if made.total_steps else str(made.step)


def figures(job: JobInfo) -> str:
    """Losses, speed and time left."""
    made = job.progress
    if made is None:
        return ""
    parts = [f"{name} {loss:.4g}" for name, loss in sorted(made.losses.items())]
    if made.gradient_norm:
        parts.append(f"gradient {made.gradient_norm:.3g}")
    if made.rows_per_second:
        parts.append(f"{made.rows_per_second:,.0f} rows/s")
    eta = made.eta if made.eta is not None else job.eta
    if eta is not None and job.state is JobState.RUNNING:
        parts.append(f"{span(eta)} left")
    return "  ".join(parts)


def span(seconds: float) -> str:
    """A length of time for people, such as "3 min 20 s"."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def _plain_line(job: JobInfo) -> None:
    line = "  ".join(part for part in (headline(job), steps(job), figures(job)) if part)
    sys.stderr.write(f"\r{line[:100]:<100}")
    sys.stderr.flush()
