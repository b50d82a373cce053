"""Every metric of the server, declared once; docs/metrics.md describes each and a test compares the two.

No label holds a job, model, tenant, column or error text: every label set is
known at start and registered then, so that rates begin at 0.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, ProcessCollector

from evaluators.headlines import HEADLINES
from kohort.problem import Problem
from server import protocol
from server.declaring import Maker, serve
from server.errors import JOB_REASONS, REASONS, from_exception
from server.hostmetrics import HostMetrics
from server.rpcmetrics import RPC_BUCKETS, SERVICES, SPELLING, RpcMetrics

STAGE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 30)
JOB_BUCKETS = (1, 3, 10, 30, 60, 180, 600, 1800, 3600, 7200, 14400, 28800, 57600, 86400)
PHASES = (*protocol.PHASES, "other")
LOSSES = ("loss", "validation", "generator", "discriminator", "reconstruction", "divergence", "other")
RELEASE_STATES = ("OPEN", "OPEN_WITH_WARNING", "INCONCLUSIVE", "LOCKED")
PROFILES = ("STANDARD", "FULL")
ALERT_ACTIONS = ("NOTIFY", "STOP_TRAINING")
_HEADLINES = [name for names in HEADLINES.values() for name in names]
STAGES = ("queue", "generate", "encode", "write")
STATES = ("QUEUED", "RUNNING", "CANCELLING")
OUTCOMES = ("SUCCEEDED", "FAILED", "CANCELLED")
STREAM_CLASSES = ("sample", "upload", "watch")
UPLOAD_FORMATS = ("columns", "csv", "parquet", "excel")
COHORT_CHECKS = ("counted", "estimated")
SAMPLE_FORMATS = ("columns", "arrow", "csv")
FAILURES = (*sorted(JOB_REASONS | REASONS.keys()), "OTHER")
"""Why a job fails."""
BLOB_KINDS = ("datasets", "models", "reports")
_STORE_ERRORS = frozenset({"STORE_UNAVAILABLE", "STORAGE_FULL", "INTERNAL"})


class Metrics:
    """The registry of one server."""

    def __init__(self, trainers: Sequence[str] = (), version: str = "", slots: Sequence[str] = ()) -> None:
        self.registry = CollectorRegistry()
        new = Maker(self.registry)
        ProcessCollector(registry=self.registry)
        self.rpc = RpcMetrics(self.registry, SPELLING.values())
        self.build_info = new.gauge(
            "kohort_build_info", "Always 1; the labels say what runs.", "version", "python"
        )
        self.build_info.labels(version, platform.python_version()).set(1)

        self.jobs = new.gauge("kohort_jobs", "Jobs that are not over, by state.", "state", known=[STATES])
        self.jobs_ended = new.counter(
            "kohort_jobs_ended_total", "Jobs that ended.", "trainer", "outcome", known=[trainers, OUTCOMES]
        )
        self.jobs_failed = new.counter(
            "kohort_jobs_failed_total",
            "Jobs that failed, evaluations by themselves among them, by the reason of their JobError.",
            "reason",
            known=[FAILURES],
        )
        self.oldest_queued = new.gauge(
            "kohort_job_oldest_queued_seconds",
            "Seconds since the job that waits longest was queued, the last time it was; 0 when none waits.",
        )
        self.queue_limit = new.gauge("kohort_queue_limit", "Jobs that may wait, of all callers.")
        self.job_queue_seconds = new.histogram(
            "kohort_job_queue_seconds", "Seconds from a job's creation to its first worker.", JOB_BUCKETS
        )
        self.job_seconds = new.histogram(
            "kohort_job_duration_seconds",
            "Seconds from a job's first worker to its end.",
            JOB_BUCKETS,
            "trainer",
            "outcome",
            known=[trainers, OUTCOMES],
        )
        self.phase_seconds = new.histogram(
            "kohort_job_phase_seconds",
            "Seconds that a phase of a job took.",
            JOB_BUCKETS,
            "phase",
            known=[PHASES],
        )
        self.epochs = new.counter(
            "kohort_train_epochs_total", "Epochs (or iterations) fitted.", "trainer", known=[trainers]
        )
        self.train_rows = new.counter(
            "kohort_train_rows_total",
            "Rows learned from, counted once per epoch (or fit).",
            "trainer",
            known=[trainers],
        )
        self.train_loss = new.gauge(
            "kohort_train_loss",
            "The latest loss of a trainer's jobs, by its name.",
            "trainer",
            "loss",
            known=[trainers, LOSSES],
        )
        self.gradient_norm = new.gauge(
            "kohort_train_gradient_norm",
            "The latest gradient norm of a trainer's jobs, on average over an epoch; 0 where there is none.",
            "trainer",
            known=[trainers],
        )
        self.train_speed = new.gauge(
            "kohort_train_rows_per_second",
            "Rows that the jobs which fit now learn from per second, together.",
            "trainer",
            known=[trainers],
        )
        self.train_eta = new.gauge(
            "kohort_train_eta_seconds",
            "Seconds until the jobs which fit now have fitted, as they estimate; 0 where there is none.",
            "trainer",
            known=[trainers],
        )
        self.attempts_lost = new.counter(
            "kohort_job_attempts_lost_total", "Attempts that ended because their worker was lost."
        )
        self.workers = new.gauge(
            "kohort_workers",
            "Live workers of all machines, by kind.",
            "kind",
            known=[("cpu", "cuda")],
        )
        self.worker_restarts = new.counter(
            "kohort_worker_restarts_total",
            "Workers of this machine that were started again.",
            "slot",
            known=[slots],
        )

        self.release_state = new.gauge(
            "kohort_release_state",
            "Models by what the release gate says of them; NaN until they were first counted.",
            "state",
            known=[RELEASE_STATES],
        )
        # Served before the database is asked: after a 0 a restart would look as if models had been locked.
        for state in RELEASE_STATES:
            self.release_state.labels(state).set(math.nan)
        self.evaluations = new.counter(
            "kohort_evaluations_total",
            "Evaluations that ended, of trainings and by themselves.",
            "profile",
            "outcome",
            known=[PROFILES, OUTCOMES],
        )
        self.evaluation_seconds = new.histogram(
            "kohort_evaluation_seconds", "Seconds that an evaluation took.", JOB_BUCKETS
        )
        self.evaluation_headline = new.gauge(
            "kohort_evaluation_headline",
            "The worst value of a metric in the newest reports on the models; NaN where none has it.",
            "metric",
            known=[_HEADLINES],
        )
        for name in _HEADLINES:
            self.evaluation_headline.labels(name).set(math.nan)
        self.alerts_raised = new.counter(
            "kohort_alerts_raised_total",
            "Alerts whose metric passed the threshold while a model was trained.",
            "action",
            known=[ALERT_ACTIONS],
        )
        self.samples_refused_locked = new.counter(
            "kohort_samples_refused_locked_total",
            "Samples and downloads refused because the model is locked.",
        )

        self.upload_bytes = new.counter(
            "kohort_upload_bytes_total", "Bytes of datasets taken in.", "format", known=[UPLOAD_FORMATS]
        )
        self.upload_rows = new.counter(
            "kohort_upload_rows_total", "Rows of datasets stored.", "format", known=[UPLOAD_FORMATS]
        )
        self.parse_seconds = new.histogram(
            "kohort_upload_parse_seconds",
            "Seconds that reading an upload took.",
            RPC_BUCKETS,
            "format",
            known=[UPLOAD_FORMATS],
        )

        self.sample_rows = new.counter(
            "kohort_sample_rows_total", "Synthetic rows sent.", "format", known=[SAMPLE_FORMATS]
        )
        self.sample_bytes = new.counter(
            "kohort_sample_bytes_total", "Bytes of synthetic rows sent.", "format", known=[SAMPLE_FORMATS]
        )
        self.sample_units = new.counter("kohort_sample_units_total", "Synthetic units sent.")
        self.sample_drawn_units = new.counter(
            "kohort_sample_drawn_units_total",
            "Synthetic units drawn; those sent ÷ these is the acceptance rate of conditions and constraints.",
        )
        self.cohort_checks = new.counter(
            "kohort_cohort_checks_total",
            "Sets of conditions whose training patients were counted, or estimated by the model.",
            "kind",
            known=[COHORT_CHECKS],
        )
        self.cohorts_refused = new.counter(
            "kohort_cohorts_refused_total", "Samples refused because too few training patients met them."
        )
        self.sample_seconds = new.histogram(
            "kohort_sample_stage_seconds",
            "Seconds per batch: waiting for a thread, running graphs, encoding, waiting for the client.",
            STAGE_BUCKETS,
            "stage",
            known=[STAGES],
        )
        self.first_batch_seconds = new.histogram(
            "kohort_sample_first_batch_seconds",
            "Seconds from a Sample call to its first rows, by whether its model was held ready or had to be "
            "loaded.",
            RPC_BUCKETS,
            "model",
            known=[("cached", "cold")],
        )
        self.cache_hits = new.counter("kohort_model_cache_hits_total", "Samples whose model was ready.")
        self.cache_misses = new.counter(
            "kohort_model_cache_misses_total", "Samples whose model had to be loaded."
        )
        self.cached_models = new.gauge("kohort_model_cache_models", "Models held ready to sample.")

        self.streams = new.gauge(
            "kohort_streams", "Streams under way, by class.", "class", known=[STREAM_CLASSES]
        )
        self.streams_limit = new.gauge(
            "kohort_streams_limit", "Streams that may run at once, by class.", "class", known=[STREAM_CLASSES]
        )
        self.streams_refused = new.counter(
            "kohort_streams_refused_total",
            "Streams refused because there were too many.",
            "class",
            known=[STREAM_CLASSES],
        )
        self.store_seconds = new.histogram(
            "kohort_store_seconds",
            "Seconds of a call of the store, with waiting for a thread.",
            STAGE_BUCKETS,
        )
        self.store_errors = new.counter(
            "kohort_store_errors_total",
            "Calls of the store that failed: no answer, no room or a defect; what it refuses is no error.",
        )
        self.database_bytes = new.gauge(
            "kohort_database_bytes", "Size of the database; NaN until it was first looked at."
        )
        self.database_bytes.set(math.nan)
        self.blob_bytes = new.gauge(
            "kohort_blob_bytes",
            "Bytes of what is stored beside the database, as its records say.",
            "kind",
            known=[BLOB_KINDS],
        )
        self.host = HostMetrics(new)

        self.ready = new.gauge(
            "kohort_ready",
            "1 while a service answers SERVING to health checks, by service.",
            "service",
            known=[[s.full_name for s in SERVICES]],
        )
        self.certificate_expiry = new.gauge(
            "kohort_certificate_expiry_timestamp_seconds",
            "When the server's certificate expires, in Unix seconds; 0 without TLS.",
        )

    def serve(self, host: str, port: int) -> tuple[WSGIServer, int]:
        """Serves the registry over HTTP. Returns the server and its port; raises OSError if it is taken."""
        return serve(self.registry, host, port)

    def store_called(self, seconds: float, error: Exception | None) -> None:
        """Counts a call of the store."""
        self.store_seconds.observe(seconds)
        if error is not None:
            problem = error if isinstance(error, Problem) else from_exception(error)
            if problem.reason in _STORE_ERRORS:
                self.store_errors.inc()
