"""The fake server's evaluations: one report, one policy, releases by model."""

from __future__ import annotations

import hashlib

from fake_parts import CODE, Fault, find, paged

from kohort.v1 import evaluation_pb2 as ev
from kohort.v1 import evaluation_pb2_grpc as ev_grpc
from kohort.v1 import release_pb2 as re
from kohort.v1 import training_pb2 as tr

PAGE = b"<!doctype html>" + b"report " * 300_000
RULE = re.ReleaseRule(
    metric="membership_inference_auc",
    kind=re.RULE_KIND_PRIVACY,
    statistic=re.RULE_STATISTIC_LOWER,
    reference=re.RULE_REFERENCE_ABSOLUTE,
    threshold=0.6,
    effect=re.RULE_EFFECT_LOCK,
)
BROKEN = re.BrokenRule(rule=RULE, where="attack domias", message="An attack tells patients apart.")
OPEN = re.Verdict(state=re.RELEASE_STATE_OPEN)
LOCKED = re.Verdict(state=re.RELEASE_STATE_LOCKED, privacy=[BROKEN])


def report_of(name="reports/1", verdict=OPEN, **fields):
    """A report with two headline metrics of one name, one without a value, and one of a column."""
    report = ev.Report(
        format=1,
        name=name,
        job="jobs/5",
        summary=["It looks real.", "It is of use.", "It tells little of its patients."],
        verdict=verdict,
        limits=["Nobody tried everything."],
        counts=ev.EvaluationCounts(
            training_rows=80, training_patients=70, holdout_rows=20, holdout_patients=15, synthetic_rows=80
        ),
        content_digest=bytes(32),
        versions={"numpy": "2.0"},
        **fields,
    )
    report.options.profile = re.EVALUATION_PROFILE_STANDARD
    report.options.time_budget.seconds = 120
    report.duration.seconds = 41
    report.create_time.seconds = 1_700_000_000
    report.definitions.add(
        name="utility_ratio",
        family=ev.METRIC_FAMILY_UTILITY,
        title="Utility ratio",
        description="TSTR over TRTR.",
        direction=ev.METRIC_DIRECTION_HIGHER,
    )
    for target, value in (("died", 0.95), ("ill", 0.9)):
        metric = report.metrics.add(name="utility_ratio", table="rows", value=value, baseline=1.0, size=500)
        metric.detail["target"] = target
        metric.headline = True
        metric.interval.low, metric.interval.high = value - 0.05, value + 0.05
        metric.interval.level, metric.interval.method = 0.95, "bootstrap"
    report.metrics.add(name="column_similarity", value=0.97, headline=True)
    report.metrics.add(name="ks_complement", table="rows", columns=["bmi"], value=0.9, null_value=1.0)
    report.metrics.add(name="ks_complement", table="rows", columns=["key"])
    figure = report.figures.add(
        name="marginal:bmi", title="bmi", kind=ev.FIGURE_KIND_LINES, family=ev.METRIC_FAMILY_FIDELITY
    )
    figure.series.add(name="real", x=[1, 2], y=[3, float("nan")])
    figure.y_min = 0
    report.left_out.add(part="shadow_models", reason="of the profile full")
    return report


class Evaluation(ev_grpc.EvaluationServiceServicer):
    def __init__(self, fake):
        self.fake = fake
        self.fake.reports = {}
        self.fake.only_report = False
        self.fake.report_file = PAGE
        self.fake.policy = re.ReleasePolicy(rules=[RULE], min_holdout_patients=100, etag="1")

    def Evaluate(self, request, context):
        yield from self.fake.stream("Evaluate", context, request, self.evaluated(request, context))

    def evaluated(self, request, context):
        fake = self.fake
        if fake.only_report:
            yield ev.EvaluateResponse(report=fake.reports["reports/1"])
            return
        if "jobs/5" not in fake.jobs:
            fake.finished_job(
                "jobs/5", model="", kind=tr.JOB_KIND_EVALUATE, report="reports/1", trainer="", epochs=2
            )
            fake.reports.setdefault("reports/1", report_of(model=request.model))
        kept = fake.jobs["jobs/5"]
        yield ev.EvaluateResponse(update=tr.JobUpdate(job=kept.job))
        for event in kept.events:
            update = tr.JobUpdate(sequence=event.sequence, event=event)
            yield ev.EvaluateResponse(update=update)
        if kept.job.report in fake.reports:
            yield ev.EvaluateResponse(report=fake.reports[kept.job.report])

    def GetReport(self, request, context):
        self.fake.begin("GetReport", context, request)
        return ev.GetReportResponse(report=find(self.fake.reports, request.name, "REPORT_NOT_FOUND", context))

    def ListReports(self, request, context):
        self.fake.begin("ListReports", context, request)
        found = [r for r in self.fake.reports.values() if request.model in ("", r.model)]
        page, token = paged(found, request)
        shortened = []
        for report in page:
            short = ev.Report()
            short.CopyFrom(report)
            for field in ("definitions", "metrics", "figures"):
                short.ClearField(field)
            shortened.append(short)
        return ev.ListReportsResponse(reports=shortened, next_page_token=token)

    def DownloadReport(self, request, context):
        find(self.fake.reports, request.name, "REPORT_NOT_FOUND", context)
        yield from self.fake.stream("DownloadReport", context, request, self.file())

    def file(self):
        data = self.fake.report_file
        header = ev.ReportFile(size_bytes=len(data), sha256=hashlib.sha256(data).digest())
        response = ev.DownloadReportResponse(header=header)
        if self.fake.tamper is not None:
            self.fake.tamper(response)
        yield response
        for start in range(0, len(data), 1 << 20):
            yield ev.DownloadReportResponse(data=data[start : start + (1 << 20)])

    def DeleteReport(self, request, context):
        self.fake.begin("DeleteReport", context, request)
        find(self.fake.reports, request.name, "REPORT_NOT_FOUND", context)
        del self.fake.reports[request.name]
        return ev.DeleteReportResponse()

    def GetReleasePolicy(self, request, context):
        self.fake.begin("GetReleasePolicy", context, request)
        return ev.GetReleasePolicyResponse(policy=self.fake.policy)

    def UpdateReleasePolicy(self, request, context):
        self.fake.begin("UpdateReleasePolicy", context, request)
        before = self.fake.policy
        if request.policy.etag not in ("", before.etag):
            Fault(CODE.ABORTED, "somebody else changed it", "ETAG_MISMATCH").abort(context)
        policy = re.ReleasePolicy(rules=[RULE], min_holdout_patients=100) if request.reset else request.policy
        policy.etag = str(int(before.etag) + 1)
        policy.updated_by = "me"
        self.fake.policy = policy
        return ev.UpdateReleasePolicyResponse(policy=policy)

    def OverrideRelease(self, request, context):
        self.fake.begin("OverrideRelease", context, request)
        release = find(self.fake.models, request.model, "MODEL_NOT_FOUND", context).release
        if request.state == re.RELEASE_STATE_UNSPECIFIED:
            release.ClearField("override")
            release.state = release.verdict.state
        else:
            release.override.state, release.override.reason = request.state, request.reason
            release.override.principal = "me"
            release.state = request.state
        return ev.OverrideReleaseResponse(release=release)
