"""Three sentences for everybody, in every state of affairs."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from evaluators.case import Options, Profile
from evaluators.gate import Effect, Policy, Rule, RuleKind, Statistic
from evaluators.results import Interval, Metric
from evaluators.roles import Roles
from evaluators.summary import limits, sentences
from tests.evaluation.report_example import evaluation, metrics

PRIVACY = Policy(
    rules=(Rule("membership_inference_auc", RuleKind.PRIVACY, 0.6, Effect.LOCK, Statistic.LOWER),),
)


def value(name: str, at: float, low: float | None = None, **more: object) -> Metric:
    interval = None if low is None else Interval(low, 2 * at - low, "bootstrap")
    return Metric(name, at, interval=interval, headline=True, **more)  # type: ignore[arg-type]


CASES = {
    "nothing": evaluation([], [], holdout=0),
    "no hold-out": evaluation([value("column_similarity", 0.9)], [], holdout=0),
    "example": evaluation(),
    "open": evaluation([value("membership_inference_auc", 0.51, 0.45)], [], 500, PRIVACY),
    "locked": evaluation([value("membership_inference_auc", 0.8, 0.75)], [], 500, PRIVACY),
    "few": evaluation([value("membership_inference_auc", 0.51, 0.3)], [], 10, PRIVACY),
}


@pytest.mark.parametrize("name", CASES)
def test_there_are_three_sentences_whatever_was_measured(name: str) -> None:
    said = sentences(CASES[name])
    assert len(said) == 3
    for sentence in said:
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert ". " not in sentence
        assert "_" not in sentence  # no names of metrics
        assert "nan" not in sentence
        assert "score" not in sentence


def test_nothing_measured_is_said_to_be_nothing() -> None:
    leave, near, attackers = sentences(CASES["nothing"])
    assert "not known" in leave
    assert "was not measured" in near
    assert "was not tested" in attackers


def test_an_open_model_may_leave_and_attackers_may_still_learn_more() -> None:
    leave, _, attackers = sentences(CASES["open"])
    assert leave == "These rows may leave: no rule of the release policy is broken."
    assert "no attacker was seen to do better than chance" in attackers
    assert "51 of 100 pairs" in attackers
    assert attackers.endswith("may learn more.")


def test_a_locked_model_may_not_leave_and_why() -> None:
    leave, _, attackers = sentences(CASES["locked"])
    assert leave == "These rows may not leave: who was learned from can be told."
    assert "80 of 100 pairs" in attackers
    assert "better than by chance" in attackers


def test_the_policy_may_lock_what_is_not_known() -> None:
    strict = replace(PRIVACY, lock_inconclusive=True)
    leave = sentences(evaluation([], [], 500, strict))[0]
    assert leave.startswith("These rows may not leave, since too little is known")


def test_few_patients_are_said_to_hide_leaks() -> None:
    assert "10 patients held out" in sentences(CASES["few"])[2]
    assert any("10 patients" in limit for limit in limits(CASES["few"]))


def test_a_value_without_an_interval_accuses_nobody() -> None:
    attackers = sentences(evaluation([value("membership_inference_auc", 0.7)], [], 500, PRIVACY))[2]
    assert "no attacker was seen" in attackers


def test_every_significant_leak_is_named() -> None:
    found = [
        value("membership_inference_tpr_excess", 0.05, 0.01),
        value("identical_match_excess", 0.02, 0.01),
        value("attribute_inference_advantage", 0.2, 0.1),
        value("singling_out_risk", 0.2, 0.1),
        value("linkability_risk", 0.2, 0.1),
    ]
    attackers = sentences(evaluation(found, [], 500))[2]
    for word in ("beyond chance", "repeated in full", "hidden values", "single out", "link parts"):
        assert word in attackers


@pytest.mark.parametrize(
    ("column", "pair", "words"),
    [(0.98, 0.96, "much like"), (0.95, 0.88, "rather like"), (0.98, 0.5, "clearly different from")],
)
def test_nearness_is_judged_by_what_real_patients_reach(column: float, pair: float, words: str) -> None:
    found = [
        value("column_similarity", column, baseline=0.985),
        value("pair_similarity", pair, baseline=0.97),
    ]
    near = sentences(evaluation(found, []))[1]
    assert near.startswith(f"The rows are {words} real ones")
    assert "(real patients among themselves: 98 % and 97 %)" in near


def test_what_is_not_quite_everything_is_not_rounded_to_it() -> None:
    assert (
        "agree to 99 % in single columns"
        in sentences(evaluation([value("column_similarity", 0.9999)], []))[1]
    )


def test_names_of_columns_do_not_break_a_sentence() -> None:
    long = "a\nb " + "x" * 300
    near = sentences(evaluation([value("utility_ratio", 0.5, detail={"target": long})], []))[1]
    assert len(near) < 200
    assert "\n" not in near


def test_limits_say_what_no_test_can_show() -> None:
    said = " ".join(limits(evaluation()))
    for words in ("Differential privacy alone", "no measure of privacy", "bounds nothing", "shadow models"):
        assert words in said
    assert re.search(r"Left out in whole or in part, with reasons further down: shadow models\.", said)


def test_limits_name_what_nobody_named() -> None:
    bare = replace(evaluation(), roles=Roles(("num",)), options=Options(profile=Profile.FULL), left_out=())
    said = " ".join(limits(bare))
    assert "quasi-identifiers" in said
    assert "fairness was not looked at" in said
    assert "standard profile" not in said
    assert "No patients were held out" in limits(CASES["nothing"])[0]


def test_no_sentence_is_made_of_values_that_are_not_headline() -> None:
    quiet = [replace(metric, headline=False) for metric in metrics()]
    assert sentences(evaluation(quiet, []))[1:] == sentences(evaluation([], []))[1:]


def test_rows_nearer_to_those_who_were_learned_from_are_named() -> None:
    found = [value("membership_inference_auc", 0.51, 0.49), value("nnaa_privacy_loss", 0.1, 0.05)]
    assert "nearer to patients who were learned from" in sentences(evaluation(found, [], 500, PRIVACY))[2]


def test_an_area_far_below_one_half_is_no_guessing() -> None:
    near = sentences(evaluation([value("c2st_auc", 0.2)], [], 500))[1]
    assert "takes one for the other" in near
    assert "20 of 100" not in near
