"""Reports, verdicts and policies for people."""

from __future__ import annotations

from collections.abc import Iterable

from kohort.cli.show import err, out, show_table
from kohort.evaluation import Metric, ReportInfo
from kohort.progress import span
from kohort.release import BrokenRule, Release, ReleasePolicy, ReleaseState, Verdict

_MEANING = {
    ReleaseState.OPEN: "its rows may leave",
    ReleaseState.OPEN_WITH_WARNING: "its rows may leave, but it breaks a rule that warns",
    ReleaseState.INCONCLUSIVE: "its rows may leave, but nothing is known of them",
    ReleaseState.LOCKED: "its rows must not leave",
}
_STYLE = {
    ReleaseState.OPEN: "bold green",
    ReleaseState.OPEN_WITH_WARNING: "bold yellow",
    ReleaseState.INCONCLUSIVE: "bold yellow",
    ReleaseState.LOCKED: "bold white on red",
}


def show_report(report: ReportInfo, *, everything: bool = False) -> None:
    """A report: its verdict, its summary, its headline metrics or all of them."""
    took = "" if report.duration is None else f", {span(report.duration)}"
    of = report.model or report.synthetic_dataset
    _say(f"{report.name} of {of}, {report.options.profile}{took}")
    show_verdict(report.verdict)
    _say()
    for sentence in report.summary:
        _say(sentence)
    counts = report.counts
    _say()
    show_metrics(report, report.metrics if everything else report.headline)
    _say(
        f"\n{counts.synthetic_rows:,} synthetic rows against {counts.training_rows:,} learned "
        f"({counts.training_patients:,} patients) and {counts.holdout_rows:,} held out "
        f"({counts.holdout_patients:,} patients)"
    )
    if everything:
        for limit in report.limits:
            _say(f"- {limit}")
    for left in report.left_out:
        err.print(f"! left out: {left.part}: {left.reason}", markup=False, highlight=False)


def show_metrics(report: ReportInfo, metrics: Iterable[Metric]) -> None:
    """Values with their intervals, beside those of real rows; what guards patients first."""
    families = {d.name: str(d.family) for d in report.definitions}
    order = ("privacy", "utility", "fidelity", "fairness")
    ranked = sorted(
        metrics, key=lambda m: order.index(families[m.name]) if families.get(m.name) in order else len(order)
    )
    show_table(
        ("metric", "of", "value", "interval", "real rows", "n"),
        (
            (
                m.name,
                m.where,
                _number(m.value),
                "" if m.interval is None else f"{_number(m.interval.low)} … {_number(m.interval.high)}",
                _number(m.baseline),
                f"{m.size:,}" if m.size else "",
            )
            for m in ranked
        ),
    )


def show_verdict(verdict: Verdict, state: ReleaseState | None = None) -> None:
    """A state, loudly, and the rules behind it; `state` is what an override made of it."""
    now = state or verdict.state
    name = now.upper().replace("_", " ")
    out.print(f"[{_STYLE.get(now, 'bold')}]{name}[/]: {_MEANING.get(now, 'unknown')}", highlight=False)
    if verdict.inconclusive:
        _say(f"  {verdict.inconclusive}")
    for what, broken in (("privacy", verdict.privacy), ("quality", verdict.quality)):
        for one in broken:
            _say(f"  {what}: {_broken(one)}")


def _broken(broken: BrokenRule) -> str:
    # The message tells where and by how much it may be; from a server that has none, the rule itself.
    return broken.message or " ".join(part for part in (str(broken.rule), broken.where) if part)


def show_release(model: str, release: Release) -> None:
    """Whether what a model makes may leave, and why."""
    _say(f"{model}{f', by {release.report}' if release.report else ', without a report'}")
    show_verdict(release.verdict, release.state)
    decided = release.override
    if decided is not None:
        when = "" if decided.time is None else f" on {decided.time.astimezone():%Y-%m-%d %H:%M}"
        _say(f"  decided by {decided.principal}{when}: {decided.reason}")
        _say(f"  the policy says {release.verdict.state.upper().replace('_', ' ')}")


def show_policy(policy: ReleasePolicy) -> None:
    """The rules, and what holds where nothing is known."""
    show_table(
        ("broken when", "guards", "then"),
        ((rule, rule.kind, rule.effect) for rule in policy.rules),
    )
    _say(f"\nwithout {policy.min_holdout_patients:,} patients held out nothing is known")
    _say(f"a model without a report is {'LOCKED' if policy.require_report else 'INCONCLUSIVE'}")
    _say(f"a model of which nothing is known {'is LOCKED' if policy.lock_inconclusive else 'may leave'}")
    if policy.update_time is None:
        _say("the server's defaults; nobody changed them")
    else:
        _say(f"changed by {policy.updated_by} on {policy.update_time.astimezone():%Y-%m-%d %H:%M}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _say(line: str = "") -> None:
    out.print(line, markup=False, highlight=False)
