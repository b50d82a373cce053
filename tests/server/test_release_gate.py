"""What a policy locks does not leave, and a custodian's word goes before the policy's."""

from __future__ import annotations

import grpc
import pytest

from evaluators.gate import DEFAULT_RULES
from kohort.v1 import dataset_pb2, evaluation_pb2, release_pb2, sampling_pb2
from tests.core.support import evidence_with
from tests.server.conftest import breaks, collect, fails
from tests.server.reported import BAD, House
from tests.server.test_metrics_page import scrape

OPEN = release_pb2.RELEASE_STATE_OPEN
WARNING = release_pb2.RELEASE_STATE_OPEN_WITH_WARNING
INCONCLUSIVE = release_pb2.RELEASE_STATE_INCONCLUSIVE
LOCKED = release_pb2.RELEASE_STATE_LOCKED
UNSPECIFIED = release_pb2.RELEASE_STATE_UNSPECIFIED


def policy(*rules: release_pb2.ReleaseRule, **fields: object) -> release_pb2.ReleasePolicy:
    return release_pb2.ReleasePolicy(rules=rules, **fields)  # type: ignore[arg-type]


def rule(**fields: object) -> release_pb2.ReleaseRule:
    given = {
        "metric": "utility_ratio",
        "kind": release_pb2.RULE_KIND_QUALITY,
        "effect": release_pb2.RULE_EFFECT_LOCK,
        "threshold": 0.5,
        "below": True,
    }
    return release_pb2.ReleaseRule(**(given | fields))  # type: ignore[arg-type]


async def update(house: House, new: release_pb2.ReleasePolicy | None) -> release_pb2.ReleasePolicy:
    request = evaluation_pb2.UpdateReleasePolicyRequest(policy=new, reset=new is None)
    return (await house.stubs.evaluation.UpdateReleasePolicy(request, **house.ann("custodian"))).policy


async def test_a_locked_model_gives_neither_rows_nor_bundle(house: House) -> None:
    model, report = house.model(evidence_with(**BAD))
    release = await house.release(model)
    assert (release.state, release.verdict.state, release.report) == (LOCKED, LOCKED, report)
    assert [broken.rule.metric for broken in release.verdict.privacy] == ["membership_inference_auc"]
    calls = (
        house.sample(model),
        house.sample(model, "admin"),
        house.sample(model, "custodian", partial_rows=sampling_pb2.PartialRows()),
        house.stubs.sampling.DownloadModel(
            sampling_pb2.DownloadModelRequest(name=model), **house.ann("admin")
        ),
    )
    for call in calls:
        received, failed = await breaks(call)
        assert (received, failed.code) == ([], grpc.StatusCode.FAILED_PRECONDITION)
        assert failed.reason == "MODEL_LOCKED"
        assert failed.metadata["rules"] == "membership_inference_auc"
        assert "membership_inference_auc" in failed.message
        assert "custodian" in failed.message
        assert "0.9" not in failed.message
        assert failed.retry_after is None
    assert scrape(house.server.metrics_port)["kohort_samples_refused_locked_total"] == "4.0"


async def test_what_nothing_is_held_against_is_open_and_says_so(house: House) -> None:
    model, _ = house.model(evidence_with())
    messages = await collect(house.sample(model))
    assert messages[0].header.release_state == OPEN
    assert (await house.release(model)).state == OPEN
    other, _ = house.model(evidence_with(holdout_patients=20))
    assert (await house.release(other)).state == INCONCLUSIVE
    assert (await collect(house.sample(other)))[0].header.release_state == INCONCLUSIVE
    listed = await house.stubs.sampling.ListModels(sampling_pb2.ListModelsRequest(), **house.ann("viewer"))
    assert {one.name: one.release.state for one in listed.models} == {model: OPEN, other: INCONCLUSIVE}


async def test_a_rule_that_warns_warns(house: House) -> None:
    model, _ = house.model(evidence_with(utility_ratio=0.2))
    assert (await house.release(model)).state == WARNING
    assert (await collect(house.sample(model)))[0].header.release_state == WARNING


async def test_an_imported_model_is_inconclusive_until_a_policy_asks_for_a_report(house: House) -> None:
    model = house.model(None)
    release = await house.release(model[0])
    assert (release.state, release.report) == (INCONCLUSIVE, "")
    assert release.verdict.inconclusive == "there is no report"
    await update(house, policy(require_report=True))
    failed = await fails(house.sample(model[0]))
    assert (failed.reason, failed.metadata["rules"]) == ("MODEL_LOCKED", "")
    assert "there is no report" in failed.message


async def test_an_override_opens_and_is_written_down(house: House) -> None:
    model, _ = house.model(evidence_with(**BAD))
    release = (await house.override(model, OPEN, "  The overlap is by design.  ")).release
    assert (release.state, release.verdict.state) == (OPEN, LOCKED)
    assert release.override.reason == "The overlap is by design."
    assert release.override.principal == "custodian-a"
    assert release.override.HasField("time")
    assert (await collect(house.sample(model)))[0].header.release_state == OPEN
    assert await house.release(model) == release
    locked = (await house.override(model, LOCKED, "somebody complained")).release
    assert locked.state == LOCKED
    failed = await fails(house.sample(model))
    assert (failed.reason, "complained" in failed.message) == ("MODEL_LOCKED", False)
    back = (await house.override(model, UNSPECIFIED, "back to the policy")).release
    assert (back.state, back.HasField("override")) == (LOCKED, False)
    history = house.worker.store.releases.history("a", model.removeprefix("models/"))
    assert [one.reason for one in history] == [
        "The overlap is by design.", "somebody complained", "back to the policy"
    ]  # fmt: skip


async def test_an_override_needs_a_reason_a_state_and_a_model(house: House) -> None:
    model, _ = house.model(evidence_with())
    for state, reason, field in (
        (OPEN, "because", "reason"),
        (OPEN, "x" * 2001, "reason"),
        (OPEN, " " * 20, "reason"),
        (INCONCLUSIVE, "a good reason", "state"),
        (99, "a good reason", "state"),
    ):
        failed = await fails(house.override(model, state, reason))
        assert (failed.reason, failed.fields) == ("INVALID_REQUEST", (field,))
    assert (await fails(house.override("models/none", OPEN))).reason == "MODEL_NOT_FOUND"
    request = evaluation_pb2.OverrideReleaseRequest(model=model, state=OPEN, reason="let me have them")
    failed = await fails(house.stubs.evaluation.OverrideRelease(request, **house.ann("custodian", "b")))
    assert failed.reason == "MODEL_NOT_FOUND"


async def test_a_new_policy_decides_at_once_and_for_its_tenant_alone(house: House) -> None:
    model, _ = house.model(evidence_with(utility_ratio=0.2))
    before = (
        await house.stubs.evaluation.GetReleasePolicy(
            evaluation_pb2.GetReleasePolicyRequest(), **house.ann("viewer")
        )
    ).policy
    assert (len(before.rules), before.HasField("update_time")) == (len(DEFAULT_RULES), False)
    after = await update(house, policy(rule(), etag=before.etag, min_holdout_patients=100))
    assert after.updated_by == "custodian-a"
    assert after.HasField("update_time")
    assert after.etag != before.etag
    assert (await house.release(model)).state == LOCKED
    assert (await fails(house.sample(model))).metadata["rules"] == "utility_ratio"
    failed = await fails(update(house, policy(etag=before.etag)))
    assert (failed.code, failed.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    theirs = await house.stubs.evaluation.GetReleasePolicy(
        evaluation_pb2.GetReleasePolicyRequest(), **house.ann("viewer", "b")
    )
    assert theirs.policy == before
    assert (await update(house, policy())).rules == []
    assert (await house.release(model)).state == OPEN
    assert await update(house, None) == before
    assert (await house.release(model)).state == WARNING


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"metric": "Not a name"}, "metric"),
        ({"metric": "membership_auc"}, "metric"),  # of nothing that is measured
        ({"threshold": float("nan")}, "threshold"),
        ({"kind": 0}, "kind"),
        ({"effect": 7}, "effect"),
        ({"statistic": 9}, "statistic"),
        ({"reference": 9}, "reference"),
    ],
)
async def test_rules_that_make_no_sense_are_refused(
    house: House, changes: dict[str, object], field: str
) -> None:
    failed = await fails(update(house, policy(rule(), rule(**changes))))
    assert (failed.reason, failed.fields) == ("INVALID_REQUEST", (f"policy.rules[1].{field}",))


async def test_a_policy_is_bounded(house: House) -> None:
    failed = await fails(update(house, policy(*[rule()] * 101)))
    assert failed.fields == ("policy.rules",)
    failed = await fails(update(house, policy(min_holdout_patients=-1)))
    assert failed.fields == ("policy.min_holdout_patients",)
    nothing = evaluation_pb2.UpdateReleasePolicyRequest()
    failed = await fails(house.stubs.evaluation.UpdateReleasePolicy(nothing, **house.ann("custodian")))
    assert failed.fields == ("policy",)


async def test_deleting_the_data_does_not_open_what_its_report_locked(house: House) -> None:
    dataset = house.dataset()
    model, report = house.model(evidence_with(**BAD), dataset)
    request = dataset_pb2.DeleteDatasetRequest(name=dataset)
    await house.stubs.datasets.DeleteDataset(request, **house.ann("custodian"))
    failed = await fails(
        house.stubs.evaluation.GetReport(
            evaluation_pb2.GetReportRequest(name=report), **house.ann("custodian")
        )
    )
    assert failed.reason == "REPORT_NOT_FOUND"
    assert list(house.worker.blobs.list("reports")) == []
    release = await house.release(model)
    assert (release.state, release.report) == (LOCKED, "")
    assert (await fails(house.sample(model))).reason == "MODEL_LOCKED"


async def test_a_stream_that_began_before_the_lock_goes_on(house: House) -> None:
    model, _ = house.model(evidence_with())
    request = sampling_pb2.SampleRequest(model=model, unit_count=2000, seed=1, max_batch_rows=10)
    stream = aiter(house.stubs.sampling.Sample(request, **house.ann("generator")))
    assert (await anext(stream)).header.release_state == OPEN
    await house.override(model, LOCKED, "somebody complained")
    rest = [message async for message in stream]
    assert rest[-1].trailer.unit_count == 2000
    assert (await fails(house.sample(model))).reason == "MODEL_LOCKED"
