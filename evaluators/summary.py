"""What an evaluation says in three sentences, and what it cannot say.

There is no score of everything: a number that adds the risk of a patient to
the worth of a column means nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from evaluators.case import MANY_PATIENTS, Profile
from evaluators.gate import Broken, Effect, State, Verdict
from evaluators.results import Metric
from evaluators.run import Evaluation

_NEAR = 0.97
_FAIRLY_NEAR = 0.9
"""Of what other real patients reach."""
_NO_LESS = 0.98

_SHORT = {
    "membership_inference_auc": "who was learned from can be told",
    "membership_inference_tpr": "who was learned from can be told",
    "membership_inference_tpr_excess": "some of those who were learned from stand out",
    "identical_match_excess": "rows of patients are repeated",
    "identical_match_share": "rows of patients are repeated",
    "attribute_inference_advantage": "hidden values of patients can be guessed",
    "inference_risk": "hidden values of patients can be guessed",
    "singling_out_risk": "patients can be singled out",
    "linkability_risk": "parts of a patient's record can be linked",
    "reidentification_risk": "patients can be found again",
    "column_similarity": "single columns differ from real ones",
    "association_similarity": "relations between columns differ from real ones",
    "pair_similarity": "relations between columns differ from real ones",
    "missingness_similarity": "values are missing in other places",
    "c2st_auc": "a program tells the rows from real ones",
    "category_coverage": "rare categories are lacking",
    "rule_violation_share": "rows break rules of plausibility",
    "utility_ratio": "models trained on the rows predict worse",
}
"""What a broken rule means; rules of other metrics are named by the metric."""

_ALWAYS = (
    "The attacks here are some of those that are known; others, and attackers who know more than these "
    "were given, may learn more. A test that finds nothing proves nothing.",
    "Nothing here is a guarantee. Differential privacy alone gives one, and it comes from how a generator "
    "was trained, not from tests of its rows.",
    "Distances to the closest record (DCR) and the shares made of them are no measure of privacy: rows can "
    "leak at any distance.",
    "That synthetic rows are k-anonymous bounds nothing about the patients behind them; k-anonymity is "
    "reported of the real rows.",
    "Averages hide single patients: those with rare values are at a higher risk than the numbers for all.",
    "What holds for the patients here may not hold elsewhere: other hospitals and times were not looked at.",
    "Whether a study made with these rows comes to the result of the real ones was tested for the named "
    "predictions only.",
)


def sentences(evaluation: Evaluation) -> tuple[str, str, str]:
    """Whether the rows may leave, how near they are to real ones, and what attackers learned."""
    return _leave(evaluation.verdict), _near(evaluation.metrics), _attackers(evaluation)


def limits(evaluation: Evaluation) -> tuple[str, ...]:
    """What was not tested, then what tests of this kind cannot show."""
    return (*_patients(evaluation.counts["holdout_patients"]), *_untested(evaluation), *_ALWAYS)


def _leave(verdict: Verdict) -> str:
    locks = [one for one in (*verdict.privacy, *verdict.quality) if one.rule.effect is Effect.LOCK]
    warnings = [one for one in (*verdict.privacy, *verdict.quality) if one.rule.effect is not Effect.LOCK]
    match verdict.state:
        case State.OPEN:
            return "These rows may leave: no rule of the release policy is broken."
        case State.OPEN_WITH_WARNING:
            return f"These rows may leave, with a warning: {_meanings(warnings)}."
        case State.LOCKED if locks:
            return f"These rows may not leave: {_meanings(locks)}."
        case State.LOCKED:
            return f"These rows may not leave, since too little is known of their risk: {_why(verdict)}."
    why = _why(verdict)
    more = f", and {_meanings(warnings)}" if warnings else ""
    return f"These rows may leave, but how well they protect patients is not known: {why}{more}."


def _why(verdict: Verdict) -> str:
    """Without the names of metrics; the verdict itself has them."""
    said = verdict.inconclusive
    return "tests that the policy asks for were not made" if said.startswith("not measured") else said


def _meanings(broken: Sequence[Broken]) -> str:
    said = {_SHORT.get(one.rule.metric, f"a rule on {one.rule.metric}"): None for one in broken}
    if _SHORT["membership_inference_auc"] in said:  # of which the other is a part
        said.pop(_SHORT["membership_inference_tpr_excess"], None)
    return _and(list(said))


def _near(metrics: Sequence[Metric]) -> str:
    parts = [_similar(metrics), _apart(metrics), _useful(metrics)]
    said = [part for part in parts if part]
    if not said:
        return "How near the rows are to real ones, and what one can do with them, was not measured."
    return _capital("; ".join(said)) + "."


def _similar(metrics: Sequence[Metric]) -> str:
    """Of columns and pairs: the words come from the poorer of the two."""
    of = {"single columns": "column_similarity", "pairs of columns": "pair_similarity"}
    found = {what: metric for what, name in of.items() if (metric := _one(metrics, name)) is not None}
    if not found:
        return ""
    worst = min(m.value / m.baseline if m.baseline else m.value for m in found.values())
    how = (
        "much like"
        if worst >= _NEAR
        else "rather like"
        if worst >= _FAIRLY_NEAR
        else "clearly different from"
    )
    agree = _and([f"{_percent(metric.value)} in {what}" for what, metric in found.items()])
    real = [_percent(metric.baseline) for metric in found.values() if metric.baseline is not None]
    among = f" (real patients among themselves: {_and(real)})" if len(real) == len(found) else ""
    return f"the rows are {how} real ones: they agree to {agree}{among}"


def _apart(metrics: Sequence[Metric]) -> str:
    found = _all(metrics, "c2st_auc")
    if not found:
        return ""
    worst = max(found, key=lambda m: m.value)
    if worst.value < 0.45:  # cells of one row on both sides of the folds: copies
        return "a program trained to tell real from synthetic rows takes one for the other, as copies make it"
    return (
        "of a real and a synthetic row, a program trained for it picks the synthetic one in "
        f"{_hundred(worst.value)} of 100 cases (50 would be guessing)"
    )


def _useful(metrics: Sequence[Metric]) -> str:
    found = _all(metrics, "utility_ratio")
    if not found:
        return ""
    worst = min(found, key=lambda m: m.value)
    target = worst.detail.get("target", "")
    what = f"predict {_name(target)}" if target else "predict"
    if worst.value >= _NO_LESS:
        return f"models trained on them {what} as well as models trained on real rows"
    return (
        f"models trained on them {what} {_percent(worst.value)} as well as models trained on real rows"
        if worst.value > 0
        else f"models trained on them cannot {what}"
    )


def _attackers(evaluation: Evaluation) -> str:
    metrics = evaluation.metrics
    found, chance = _leaks(metrics)
    tests = _tests(metrics)
    if not tests:
        return "What an attacker could learn of the patients behind the rows was not tested."
    held = evaluation.counts["holdout_patients"]
    if not held:
        end = "without held-out patients to compare with, this says little"
    elif held < MANY_PATIENTS:
        end = f"with {held} patients held out, the tests could miss even a large leak"
    else:
        end = "attackers who know more, or try something else, may learn more"
    if not found:
        more = f" ({chance})" if chance else ""
        if any(_beyond(m, 0.0) for m in _all(metrics, "nnaa_privacy_loss")):
            more += ", though the rows lie nearer to patients who were learned from than to others"
        return f"In the tests of {_and(tests)}, no attacker was seen to do better than chance{more}; {end}."
    return f"In these tests an attacker could {_and(found)}; {end}."


def _leaks(metrics: Sequence[Metric]) -> tuple[list[str], str]:
    """What went beyond chance, and how little the best guess at membership knew where nothing did."""
    found = []
    membership = _all(metrics, "membership_inference_auc")
    # Of the few outliers chance alone gives more than guessing.
    of_all = [m for m in membership if "records" not in m.detail or _beyond(m, 0.5)]
    best = max(of_all, key=lambda m: m.value, default=None)
    rate = "" if best is None else f"right in {_hundred(best.value)} of 100 pairs, where guessing gives 50"
    if any(_beyond(m, 0.5) for m in membership):
        found.append(f"tell patients who were learned from, better than by chance ({rate})")
    elif told := [m for m in _all(metrics, "membership_inference_tpr_excess") if _beyond(m, 0.0)]:
        share = _percent(max(m.value for m in told))
        found.append(f"recognise some of the patients who were learned from (about {share} beyond chance)")
    if any(_beyond(m, 0.0) for m in _all(metrics, "identical_match_excess")):
        found.append("find rows of patients repeated in full, more often than by coincidence")
    guesses = (*_all(metrics, "attribute_inference_advantage"), *_all(metrics, "inference_risk"))
    if any(_beyond(m, 0.0) for m in guesses):
        found.append("guess hidden values of those patients better than those of others")
    if any(_beyond(m, 0.0) for m in _all(metrics, "singling_out_risk")):
        found.append("single out some of those patients")
    if any(_beyond(m, 0.0) for m in _all(metrics, "linkability_risk")):
        found.append("link parts of some patients' records")
    return found, f"at telling who was learned from, the best was {rate}" if rate else ""


def _tests(metrics: Sequence[Metric]) -> list[str]:
    of = {
        "telling who was learned from": ("membership_inference_auc", "membership_inference_tpr_excess"),
        "finding repeated rows": ("identical_match_excess",),
        "guessing hidden values": ("attribute_inference_advantage", "inference_risk"),
        "singling out": ("singling_out_risk",),
        "linking": ("linkability_risk",),
    }
    return [what for what, names in of.items() if any(_all(metrics, name) for name in names)]


def _beyond(metric: Metric, null: float) -> bool:
    """By the lower end of the interval: without one there is no telling."""
    at = metric.null_value if metric.null_value is not None else null
    return metric.interval is not None and metric.interval.low > at


def _patients(held: int) -> list[str]:
    if not held:
        return [
            "No patients were held out: nothing tells what attackers learn from the rows from what they "
            "would guess of anybody, and no value has the one that real rows reach beside it."
        ]
    if held < MANY_PATIENTS:
        return [f"With {held} patients held out, tests can miss even large leaks, and intervals are wide."]
    if held < 1000:
        least = max(1, round(held / 100))
        return [
            f"{held} patients were held out: at 1 % false positives, an attack's success hangs on {least} of "
            "them."
        ]
    return []


def _untested(evaluation: Evaluation) -> list[str]:
    said = []
    if evaluation.options.profile is not Profile.FULL:
        said.append("The standard profile was computed: without shadow models, the strongest attack known.")
    if not evaluation.roles.quasi_identifiers:
        said.append(
            "No columns were named as known to an attacker (quasi-identifiers), so attacks that start from "
            "them were not made."
        )
    if not evaluation.roles.protected:
        said.append("No columns were named whose groups should fare alike: fairness was not looked at.")
    if evaluation.left_out:
        parts = list(
            dict.fromkeys(one.part.partition(":")[0].replace("_", " ") for one in evaluation.left_out)
        )
        said.append(f"Left out in whole or in part, with reasons further down: {_and(parts)}.")
    return said


def _all(metrics: Sequence[Metric], name: str) -> list[Metric]:
    return [m for m in metrics if m.name == name and m.headline and math.isfinite(m.value)]


def _one(metrics: Sequence[Metric], name: str) -> Metric | None:
    """The poorest, where there are several."""
    return min(_all(metrics, name), key=lambda m: m.value, default=None)


def _percent(share: float) -> str:
    """In whole percent; neither 100 nor 0 unless it is."""
    shown = round(share * 100)
    if shown >= 100 > share * 100:
        shown = 99
    if shown <= 0 < share:
        shown = 1
    return f"{shown} %"


def _hundred(auc: float) -> int:
    return min(99, round(auc * 100)) if auc < 1 else 100


def _name(column: str) -> str:
    plain = " ".join(column.split())
    return plain if len(plain) <= 40 else plain[:39] + "…"


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
