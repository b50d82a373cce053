"""Reports, policies, overrides and evaluation jobs, on both databases."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
import sqlalchemy as sa

from evaluators.gate import Effect, Evidence, Headline, Policy, Rule, RuleKind, State, decide
from kohort.problem import Problem
from server.records import JobKind, JobRecord, JobState, LeaseLost, ModelRecord, Principal, SubjectSpec
from server.store import Store
from server.store.releases import DEFAULTS
from tests.core.support import (
    ADA,
    EVE,
    add_dataset,
    add_job,
    evaluation_of,
    evidence_with,
    model_of,
    report_of,
)

CAROL = Principal("north", "carol")
STRICT = Policy(rules=(Rule("inference_risk", RuleKind.PRIVACY, 0.0, Effect.LOCK),), min_holdout_patients=5)


def published(store: Store, **changes: float) -> tuple[JobRecord, ModelRecord]:
    """A model and its report, as a training publishes them."""
    job = add_job(store)
    store.leases.claim("w", "cpu:0", "cpu", 30)
    model = model_of(job)
    store.leases.publish(job.id, 1, "w", model, report_of(job, model.id, evidence_with(**changes)))
    return store.jobs.get("north", job.id), model


def evaluated(store: Store, model: ModelRecord, dataset: str, **changes: float) -> JobRecord:
    """Another report about a model."""
    job = evaluation_of(store, SubjectSpec(model.id), dataset)
    store.leases.claim("w", "cpu:0", "cpu", 30)
    store.leases.publish(job.id, 1, "w", None, report_of(job, model.id, evidence_with(**changes)))
    return store.jobs.get("north", job.id)


def refused(reason: str, call: object, *given: object, **named: object) -> Problem:
    assert callable(call)
    with pytest.raises(Problem) as error:
        call(*given, **named)
    assert error.value.reason == reason
    return error.value


def test_a_model_its_report_and_the_end_of_the_job_come_together(store: Store) -> None:
    job, model = published(store)
    assert (job.state, job.model) == (JobState.SUCCEEDED, model.id)
    report = store.reports.get("north", job.report)
    assert (report.model, report.job, report.dataset) == (model.id, job.id, job.spec.dataset)
    assert report.create_time > 0
    assert store.reports.list("north").items == (report,)
    assert store.reports.list("north", model="another").items == ()
    assert (
        store.reports.blob_keys()
        == {report.json_key, report.html_key}
        == set(store.reports.files("north", model.id))
    )
    refused("REPORT_NOT_FOUND", store.reports.get, "south", report.id)
    refused("REPORT_NOT_FOUND", store.reports.delete, "south", report.id)
    assert store.reports.list("south").items == ()
    assert store.reports.files("south", model.id) == []


def test_a_late_worker_publishes_neither_model_nor_report(store: Store) -> None:
    job = add_job(store)
    store.leases.claim("w", "cpu:0", "cpu", 30)
    model = model_of(job)
    with pytest.raises(LeaseLost):
        store.leases.publish(job.id, 2, "w", model, report_of(job, model.id))
    assert store.reports.blob_keys() == store.models.blob_keys() == set()


def test_the_newest_report_decides_and_deleting_it_brings_back_the_one_before(store: Store) -> None:
    job, model = published(store)
    second = evaluated(store, model, job.spec.dataset, inference_risk=0.9)
    assert (second.spec.kind, second.model) == (JobKind.EVALUATE, "")
    standing = store.releases.standing("north", model.id)
    assert standing.report == second.report
    assert decide(standing.policy, standing.evidence).state is State.LOCKED
    assert [r.id for r in store.reports.list("north", page_size=1).items] == [second.report]
    store.reports.delete("north", second.report)
    refused("REPORT_NOT_FOUND", store.reports.delete, "north", second.report)
    standing = store.releases.standing("north", model.id)
    assert standing.report == job.report
    assert decide(standing.policy, standing.evidence).state is State.OPEN
    assert store.releases.standing("south", model.id).evidence is None


def test_a_hasty_report_does_not_open_what_a_thorough_one_locked(store: Store) -> None:
    job, model = published(store)
    evaluated(store, model, job.spec.dataset, inference_risk=0.9)
    for headlines in ((), (Headline("inference_risk", "", None),)):
        again = evaluation_of(store, SubjectSpec(model.id), job.spec.dataset)
        store.leases.claim("w", "cpu:0", "cpu", 30)
        hasty = Evidence(1000, headlines)
        report = replace(report_of(again, model.id), evidence=hasty.to_json())
        store.leases.publish(again.id, 1, "w", None, report)
        standing = store.releases.standing("north", model.id)
        verdict = decide(standing.policy, standing.evidence)
        assert verdict.state is State.LOCKED
        assert [one.where for one in verdict.privacy] == ["of an earlier report"]
    evaluated(store, model, job.spec.dataset, inference_risk=0.0)
    standing = store.releases.standing("north", model.id)
    assert decide(standing.policy, standing.evidence).state is State.OPEN, "measured anew"


def test_reports_are_deleted_with_their_model(store: Store) -> None:
    job, model = published(store)
    _, other = published(store)
    evaluated(store, model, job.spec.dataset)
    refused("MODEL_NOT_FOUND", store.models.delete, "south", model.id)
    assert len(store.reports.files("north", model.id)) == 4
    store.models.delete("north", model.id)
    assert [r.model for r in store.reports.list("north").items] == [other.id]
    assert store.releases.standing("north", model.id).evidence is None


def test_a_model_that_is_deleted_while_it_is_evaluated_gets_no_report(store: Store) -> None:
    trained, model = published(store)
    job = evaluation_of(store, SubjectSpec(model.id), trained.spec.dataset)
    store.leases.claim("w", "cpu:0", "cpu", 30)
    store.models.delete("north", model.id)
    store.leases.publish(job.id, 1, "w", None, report_of(job, model.id))
    after = store.jobs.get("north", job.id)
    assert (after.state, after.report) == (JobState.FAILED, "")
    assert after.error
    assert after.error["reason"] == "MODEL_NOT_FOUND"
    assert store.reports.blob_keys() == set()


def test_withdrawing_a_dataset_leaves_the_evidence_that_locks_and_no_file(store: Store) -> None:
    job, model = published(store)
    locked = evaluated(store, model, job.spec.dataset, inference_risk=0.9)
    _, bystander = published(store)
    elsewhere = evaluation_of(store, SubjectSpec(synthetic_dataset=add_dataset(store)), job.spec.dataset)
    store.leases.claim("w", "cpu:0", "cpu", 30)
    store.leases.publish(elsewhere.id, 1, "w", None, report_of(elsewhere))
    assert store.reports.withdraw("south", job.spec.dataset) == []
    assert len(store.reports.withdraw("north", job.spec.dataset)) == 6
    assert store.reports.withdraw("north", job.spec.dataset) == []
    assert [r.model for r in store.reports.list("north").items] == [bystander.id]
    refused("REPORT_NOT_FOUND", store.reports.get, "north", locked.report)
    standing = store.releases.standing("north", model.id)
    assert standing.report == ""
    assert decide(standing.policy, standing.evidence).state is State.LOCKED
    with store._database.read() as connection:
        kept = connection.execute(sa.text("SELECT overview FROM reports WHERE json_key = ''")).scalars().all()
    assert [str(value) for value in kept] == ["{}"]


def test_a_policy_is_the_tenants_own_and_replaced_only_by_who_has_read_it(store: Store) -> None:
    assert store.releases.policy("north") == DEFAULTS
    assert DEFAULTS.policy == Policy()
    first = store.releases.set_policy(CAROL, STRICT, DEFAULTS.etag)
    assert (first.policy, first.updated_by) == (STRICT, "carol")
    assert first.update_time
    assert first.etag != DEFAULTS.etag
    assert store.releases.policy("south") == DEFAULTS
    refused("ETAG_MISMATCH", store.releases.set_policy, CAROL, Policy(), DEFAULTS.etag)
    assert store.releases.policy("north") == first
    again = store.releases.set_policy(CAROL, STRICT)
    assert again.etag != first.etag
    assert store.releases.set_policy(CAROL, None, again.etag) == DEFAULTS == store.releases.policy("north")


def test_overrides_are_all_kept_and_the_newest_holds(store: Store) -> None:
    _, model = published(store)
    assert store.releases.standing("north", model.id).override is None
    store.releases.override(CAROL, model.id, State.LOCKED, "a complaint came in")
    standing = store.releases.override(ADA, model.id, State.OPEN, "the complaint was unfounded")
    assert standing.override
    assert (standing.override.state, standing.override.principal) == (State.OPEN, "ada")
    assert store.releases.override(CAROL, model.id, None, "back to the policy").override is None
    history = store.releases.history("north", model.id)
    assert [(o.state, o.principal) for o in history] == [
        (State.LOCKED, "carol"), (State.OPEN, "ada"), (None, "carol"),
    ]  # fmt: skip
    refused("MODEL_NOT_FOUND", store.releases.override, EVE, model.id, State.OPEN, "let me have it")
    assert store.releases.history("south", model.id) == []
    store.models.delete("north", model.id)
    assert store.releases.history("north", model.id) == history


def test_all_models_are_told_with_their_newest_report_and_override(store: Store) -> None:
    job, model = published(store)
    evaluated(store, model, job.spec.dataset, inference_risk=0.9)
    bare = model_of(add_job(store, principal=EVE))
    store.models.create(bare)
    store.releases.override(EVE, bare.id, State.LOCKED, "not yet looked at")
    (_, newest, _), _ = found = sorted(store.releases.models())
    assert found == [("north", newest, None), ("south", None, State.LOCKED)]
    assert newest
    assert store.reports.evidence([newest, 10_000]) == {newest: evidence_with(inference_risk=0.9)}


def test_evaluations_are_counted_by_model_and_by_dataset(database_url: str) -> None:
    store = Store(database_url, max_evaluations_per_day=2)
    store.migrate()
    job, model = published(store)
    rows = add_dataset(store)
    for _ in range(2):
        store.jobs.request_cancel("north", evaluation_of(store, SubjectSpec(model.id), job.spec.dataset).id)
        evaluation_of(store, SubjectSpec(synthetic_dataset=rows), job.spec.dataset)
    problem = refused("TOO_MANY_EVALUATIONS", evaluation_of, store, SubjectSpec(model.id), job.spec.dataset)
    assert problem.retry_after
    assert 24 * 3600 - 60 < problem.retry_after <= 24 * 3600
    refused(
        "TOO_MANY_EVALUATIONS",
        evaluation_of,
        store,
        # Other rows against the same patients: an upload costs nothing.
        SubjectSpec(synthetic_dataset=add_dataset(store), holdout_dataset=add_dataset(store)),
        job.spec.dataset,
    )
    evaluation_of(store, SubjectSpec(synthetic_dataset=rows), add_dataset(store))
    add_job(store, job.spec.dataset)
    with store._database.write() as connection:
        connection.execute(sa.text("UPDATE jobs SET create_time = create_time - 86401"))
    evaluation_of(store, SubjectSpec(model.id), job.spec.dataset)
    store.close()


def test_an_evaluation_may_be_repeated_and_is_no_training(store: Store) -> None:
    job, model = published(store)
    request = str(uuid.uuid4())
    spec = evaluation_of(store, SubjectSpec(model.id), job.spec.dataset).spec
    first, created = store.jobs.create(ADA, spec, request_id=request, request_hash=b"x")
    assert created
    assert store.jobs.create(ADA, spec, request_id=request, request_hash=b"x") == (first, False)
    assert first.spec.subject == SubjectSpec(model.id)
    assert store.requests.find("north", "evaluate", request, b"x") == first.id
    assert store.requests.find("north", "train", request, b"x") is None


def test_every_dataset_that_an_evaluation_reads_stays_until_it_is_over(store: Store) -> None:
    real, synthetic, held = (add_dataset(store, delete_after_training=True) for _ in range(3))
    subject = SubjectSpec(synthetic_dataset=synthetic, holdout_dataset=held)
    job = evaluation_of(store, subject, real)
    with store._database.write() as connection:
        connection.execute(sa.text("UPDATE datasets SET expire_time = 1"))
    for dataset in (real, synthetic, held):
        refused("DATASET_IN_USE", store.datasets.delete, "north", dataset)
    assert store.datasets.expire() == ()
    store.leases.claim("w", "cpu:0", "cpu", 30)
    store.leases.publish(job.id, 1, "w", None, report_of(job))
    assert store.datasets.get("north", real).delete_time is None, "it was evaluated, not trained on"
    assert set(store.datasets.expire()) == {real, synthetic, held}
    refused("DATASET_EXPIRED", evaluation_of, store, subject, add_dataset(store))
    missing = SubjectSpec(synthetic_dataset="none")
    refused("DATASET_NOT_FOUND", evaluation_of, store, missing, add_dataset(store))
