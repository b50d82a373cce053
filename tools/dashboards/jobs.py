"""The queue and those who work it off: waits, phases, ends, failures, workers."""

from __future__ import annotations

from tools.dashboards.common import (
    INSTANCE,
    JOBS,
    OF_TRAINER,
    TRAINER,
    TRAINING,
    dashboard,
    heat,
    quantiles,
    share,
)
from tools.dashboards.grafana import Panel, Query, Row
from tools.dashboards.limits import NONE_IS_BAD, high, low
from tools.dashboards.looks import Bars, Dial, Heat, Lines, Number
from tools.dashboards.series import RANGE, each, once

_jobs = once("kohort_jobs")
_queued, _running = (once("kohort_jobs", f'state="{state}"').now() for state in ("QUEUED", "RUNNING"))
_limit = once("kohort_queue_limit").now()
_oldest = once("kohort_job_oldest_queued_seconds").now()
_ended = once("kohort_jobs_ended_total", OF_TRAINER)
_succeeded = once("kohort_jobs_ended_total", OF_TRAINER, 'outcome="SUCCEEDED"')
_wait = once("kohort_job_queue_seconds")
_phase = once("kohort_job_phase_seconds")
_duration = once("kohort_job_duration_seconds", OF_TRAINER)

_now = Row(
    "Now",
    [
        Panel(
            "Waiting",
            "Jobs in the queue. Many, and workers idle: jobs ask for a device that no worker has.",
            [Query(_queued)],
            "short",
            Number(decimals=0),
            width=4,
            height=4,
        ),
        Panel(
            "Waiting longest",
            "How long the job has waited that waits longest, since it was queued last. Above an hour: "
            "add workers, or see whether those there are make progress.",
            [Query(_oldest)],
            "s",
            Number(limits=high(900, 3600)),
            width=4,
            height=4,
            runbooks=("KohortJobsWaitLong",),
        ),
        Panel(
            "Running",
            "Jobs that a worker has. Fewer than workers while jobs wait: a caller's limit of running "
            "jobs, or a device.",
            [Query(_running)],
            "short",
            Number(decimals=0),
            width=4,
            height=4,
            to=TRAINING,
        ),
        Panel(
            "Workers",
            "Live workers of all machines. None: jobs are taken and wait. Start one: `python -m server "
            "worker`, or `devices` of a server.",
            [Query(once("kohort_workers").now())],
            "short",
            Number(limits=NONE_IS_BAD, decimals=0),
            width=4,
            height=4,
            runbooks=("KohortNoWorkers",),
        ),
        Panel(
            "Queue used",
            "Jobs that wait of those that may. Full: Train and Evaluate are refused with QUEUE_FULL.",
            [Query(f"{_queued} / {_limit}")],
            "percentunit",
            Dial(limits=high(0.7, 0.9), least=0, most=1),
            width=4,
            height=4,
            runbooks=("KohortQueueNearlyFull",),
        ),
        Panel(
            "Succeeded share",
            "Trainings that succeeded of those that ended in the chosen time. Below nine tenths: the "
            "reasons are below.",
            [Query(share(_succeeded.increase(RANGE), _ended.increase(RANGE)))],
            "percentunit",
            Number(limits=low(0.5, 0.9), graph=False, least=0, most=1),
            width=4,
            height=4,
            runbooks=("KohortJobsFailing",),
        ),
    ],
)

_queue = Row(
    "Queue",
    [
        Panel(
            "Jobs that are not over",
            "Jobs by state, and how many may wait (dashed). A queue that only grows needs more workers.",
            [Query(_jobs.by("state").now(), "{{state}}"), Query(_limit, "limit: QUEUED")],
            "short",
            Lines(stack=True, dashed=("/^limit: /",)),
            runbooks=("KohortQueueFilling",),
        ),
        Panel(
            "Waiting longest",
            "How long the oldest job has waited. A saw-tooth is work; a straight slope upwards is a "
            "queue that nobody takes from.",
            [Query(_oldest, "oldest job")],
            "s",
            Lines(limits=high(900, 3600)),
            runbooks=("KohortJobsWaitLong", "KohortNoWorkers"),
        ),
        Panel(
            "Wait for a worker",
            "From a job's creation to its first worker, of jobs that began. What callers notice of a "
            "lack of workers.",
            quantiles(_wait, 0.5, 0.95),
            "s",
            Lines(),
        ),
        Panel(
            "Waits",
            "How many jobs waited how long. A second band far above: jobs that ask for a device of "
            "which there are few.",
            heat(_wait),
            "s",
            Heat(),
            width=12,
        ),
        Panel(
            "Workers by kind",
            "Live workers of all machines. A step down: a machine or a GPU is gone; its jobs go back "
            "to the queue.",
            [Query(once("kohort_workers").by("kind").now(), "{{kind}}")],
            "short",
            Lines(stack=True, decimals=0),
            width=12,
            runbooks=("KohortNoWorkers",),
        ),
    ],
)

_work = Row(
    "Work",
    [
        Panel(
            "Trainings that ended",
            "By outcome. FAILED above SUCCEEDED: see the reasons below. Many CANCELLED: callers who "
            "waited too long.",
            [Query(_ended.by("outcome").increase(), "{{outcome}}")],
            "short",
            Lines(stack=True, bars=True, legend=("sum",)),
        ),
        Panel(
            "Trainings that ended, by trainer",
            "Which trainers are used. One that ends far more often than before: a client that trains "
            "again and again.",
            [Query(f"{_ended.by('trainer').increase()} > 0", "{{trainer}}")],
            "short",
            Lines(stack=True, bars=True, legend=("sum",)),
        ),
        Panel(
            "Duration of trainings",
            "From the first worker to the end, by outcome. Long ones that were cancelled ran against "
            "max_runtime or somebody's patience.",
            [Query(_duration.by("outcome").quantile(0.95), "p95 {{outcome}}"), *quantiles(_duration, 0.5)],
            "s",
            Lines(),
        ),
        Panel(
            "Mean duration of phases",
            "What a job spends its time on. Preparing that grows: large tables or a slow store; "
            "exporting or verifying: a busy machine; evaluating: the profile FULL.",
            [Query(_phase.by("phase").mean(), "{{phase}}")],
            "s",
            Lines(stack=True),
        ),
        Panel(
            "Phases, p95",
            "The slow end of each phase. Preparing: the store or the size of tables; verifying: the "
            "machine; evaluating: max_evaluation_seconds bounds it.",
            [Query(_phase.by("phase").quantile(0.95), "{{phase}}")],
            "s",
            Lines(log=True),
        ),
        Panel(
            "Time by phase",
            "Seconds per second that all jobs together spend in each phase: its height is how many run "
            "at once.",
            [Query(_phase.by("phase").total_rate(), "{{phase}}")],
            "none",
            Lines(stack=True),
        ),
    ],
)

_failures = Row(
    "Failures",
    [
        Panel(
            "Failures by reason",
            "Jobs that failed in the chosen time. TRAINING_DIVERGED and OUT_OF_MEMORY are of the "
            "parameters; ATTEMPTS_EXHAUSTED is of the machines; INTERNAL is a defect: take its log "
            "line to the developers.",
            [
                Query(
                    f"topk(10, {once('kohort_jobs_failed_total').by('reason').increase(RANGE)})",
                    "{{reason}}",
                    instant=True,
                )
            ],
            "short",
            Bars(limits=high(1, 10), least=0, decimals=0),
            width=12,
            runbooks=("KohortJobsFailing", "KohortTrainingDiverges"),
        ),
        Panel(
            "Failures over time",
            "Jobs that failed, by reason; nothing where none did. A wall that begins with an upgrade "
            "(a mark): go back to the version before.",
            [Query(f"{once('kohort_jobs_failed_total').by('reason').increase()} > 0", "{{reason}}")],
            "short",
            Lines(stack=True, bars=True, legend=("sum",)),
            width=12,
            runbooks=("KohortJobsFailing",),
        ),
        Panel(
            "Attempts lost",
            "Attempts whose worker died or was not heard of: their jobs begin again. In clusters: a "
            "machine or its network; one by one: memory.",
            [Query(once("kohort_job_attempts_lost_total").increase(), "attempts")],
            "short",
            Lines(bars=True, legend=("sum",)),
            width=12,
            runbooks=("KohortAttemptsLost",),
        ),
        Panel(
            "Workers started again",
            "Workers of each server's own machine that ended and were started again, by slot. Several "
            "in an hour: see its log for the status they ended with.",
            [
                Query(
                    each("kohort_worker_restarts_total").by("instance", "slot").increase(),
                    "{{instance}} {{slot}}",
                )
            ],
            "short",
            Lines(bars=True, stack=True, legend=("sum",)),
            width=12,
            runbooks=("KohortWorkersRestarting",),
        ),
    ],
)

DASHBOARD = dashboard(
    JOBS,
    "The queue and the workers: who waits, how long, what fails and why. The same on every server.",
    [_now, _queue, _work, _failures],
    (INSTANCE, TRAINER),
)
