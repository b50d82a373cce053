"""Samples: how fast they are, where their time goes, what is refused."""

from __future__ import annotations

from tools.dashboards.common import SAMPLING, SERVICE, TRAINING, dashboard, heat, quantiles, share
from tools.dashboards.grafana import Panel, Query, Row
from tools.dashboards.limits import high, low
from tools.dashboards.looks import Heat, Lines, Number
from tools.dashboards.series import each

_rows, _bytes = each("kohort_sample_rows_total"), each("kohort_sample_bytes_total")
_sent, _drawn = each("kohort_sample_units_total"), each("kohort_sample_drawn_units_total")
_stage = each("kohort_sample_stage_seconds")
_first = each("kohort_sample_first_batch_seconds")
_cached = each("kohort_sample_first_batch_seconds", 'model="cached"')
_cold = each("kohort_sample_first_batch_seconds", 'model="cold"')
_hits, _misses = each("kohort_model_cache_hits_total"), each("kohort_model_cache_misses_total")
_hit_share = share(_hits.rate(), f"({_hits.rate()} + {_misses.rate()})")
_acceptance = share(_sent.rate(), _drawn.rate())
_SAMPLE = 'grpc_method="Sample"'
_calls = each("grpc_server_handling_seconds", _SAMPLE)

_now = Row(
    "Now",
    [
        Panel(
            "Rows per second",
            "Synthetic rows sent by all servers. Falls with clients at work: see where the time goes below.",
            [Query(_rows.rate())],
            "rowsps",
            Number(),
            width=4,
            height=4,
        ),
        Panel(
            "Sample streams",
            "Streams under way. At the limit others are refused: see Service.",
            [Query(each("kohort_streams", 'class="sample"').now())],
            "short",
            Number(decimals=0),
            width=4,
            height=4,
            runbooks=("KohortStreamsNearLimit",),
            to=SERVICE,
        ),
        Panel(
            "First rows, model held ready",
            "p95 from the call to its first rows. Above a quarter of a second: threads are all taken, "
            "or the database is slow.",
            [Query(_cached.quantile(0.95))],
            "s",
            Number(limits=high(0.25, 1)),
            width=4,
            height=4,
            runbooks=("KohortFirstBatchSlow",),
        ),
        Panel(
            "First rows, model loaded first",
            "The same where the bundle had to be read and checked. Above five seconds: large models or "
            "a slow store; hold more models ready (cached_models).",
            [Query(_cold.quantile(0.95))],
            "s",
            Number(limits=high(5, 15)),
            width=4,
            height=4,
            runbooks=("KohortFirstBatchSlow",),
        ),
        Panel(
            "Models found ready",
            "Share of samples whose model was held ready. Low with more models in use than "
            "cached_models: raise it, or route a model's clients to the same server.",
            [Query(_hit_share)],
            "percentunit",
            Number(limits=low(0.5, 0.8), least=0, most=1),
            width=4,
            height=4,
        ),
        Panel(
            "Accepted share",
            "Units sent of those drawn. Low: conditions or constraints that few units meet, and each "
            "row costs the work of many.",
            [Query(_acceptance)],
            "percentunit",
            Number(limits=low(0.05, 0.2), least=0, most=1),
            width=4,
            height=4,
        ),
    ],
)

_throughput = Row(
    "Throughput",
    [
        Panel(
            "Rows per second by format",
            "Synthetic rows sent. Columns and Arrow cost less than CSV: tell clients that ask for "
            "millions of rows as CSV.",
            [Query(_rows.by("format").rate(), "{{format}}")],
            "rowsps",
            Lines(stack=True),
        ),
        Panel(
            "Bytes per second by format",
            "Synthetic rows sent, in bytes. Flat at the network's speed: that is the limit, not the models.",
            [Query(_bytes.by("format").rate(), "{{format}}")],
            "Bps",
            Lines(stack=True),
        ),
        Panel(
            "Units drawn and sent",
            "Patients (or rows) drawn from models and those that met what was asked for. Far apart: "
            "see the accepted share.",
            [Query(_drawn.rate(), "drawn"), Query(_sent.rate(), "sent")],
            "ops",
            Lines(),
        ),
        Panel(
            "Duration of Sample calls",
            "From the call to its last message; it grows with what is asked for. Longer at the same "
            "rows per second: larger requests, nothing to do.",
            quantiles(_calls, 0.5, 0.95),
            "s",
            Lines(log=True),
        ),
        Panel(
            "Sample calls by code",
            "How they ended. Canceled: clients that had enough; ResourceExhausted: too many streams; "
            "DeadlineExceeded: too much was asked for in too little time.",
            [
                Query(
                    f"{each('grpc_server_handled_total', _SAMPLE).by('grpc_code').rate()} > 0",
                    "{{grpc_code}}",
                )
            ],
            "reqps",
            Lines(stack=True),
        ),
        Panel(
            "Accepted share",
            "Units sent of those drawn, over time. A step down: a client began to ask for what is "
            "rare; have it ask for fewer.",
            [Query(_acceptance, "accepted")],
            "percentunit",
            Lines(least=0, most=1),
        ),
    ],
)

_time = Row(
    "Where the time goes, per batch",
    [
        Panel(
            "Mean time of stages",
            "queue: waiting for a thread; generate: running graphs; encode: writing the batch; write: "
            "waiting for the client. Much queue: more streams than sample_threads, add a server; much "
            "write: slow clients or network.",
            [Query(_stage.by("stage").mean(), "{{stage}}")],
            "s",
            Lines(stack=True),
        ),
        Panel(
            "Stages, p95",
            "The slow end of each stage. queue: too few threads or servers; write: clients that read "
            "slowly, which hold nobody else up.",
            [Query(_stage.by("stage").quantile(0.95), "{{stage}}")],
            "s",
            Lines(log=True),
        ),
        Panel(
            "Work by stage",
            "Seconds per second that all streams together spend in each stage. generate and encode at "
            "the number of cores: the machine is full.",
            [Query(_stage.by("stage").total_rate(), "{{stage}}")],
            "none",
            Lines(stack=True),
        ),
    ],
)

_models = Row(
    "First rows and models held ready",
    [
        Panel(
            "Time to first rows",
            "From the call to its first rows, by whether the model was held ready. Cold ones up: large "
            "bundles or a slow store; cached ones: busy threads.",
            [
                Query(_first.by("model").quantile(0.5), "p50 {{model}}"),
                Query(_first.by("model").quantile(0.95), "p95 {{model}}"),
            ],
            "s",
            Lines(log=True),
            runbooks=("KohortFirstBatchSlow",),
        ),
        Panel(
            "Times to first rows",
            "How many samples waited how long. Two bands: models held ready, and models loaded first. "
            "A thick upper band: raise cached_models.",
            heat(_first),
            "s",
            Heat(),
        ),
        Panel(
            "Models looked up",
            "Samples whose model was ready (hit) or had to be loaded (miss), and models held.",
            [
                Query(_hits.rate(), "hits per second"),
                Query(_misses.rate(), "misses per second"),
                Query(each("kohort_model_cache_models").by("instance").now(), "held by {{instance}}"),
            ],
            "short",
            Lines(),
        ),
    ],
)

_refused = Row(
    "Refused",
    [
        Panel(
            "Refused samples",
            "By why: cohorts of too few training patients, and models that are locked. Cohorts in a "
            "row from one client: somebody closes in on patients.",
            [
                Query(each("kohort_cohorts_refused_total").increase(), "cohort too small"),
                Query(each("kohort_samples_refused_locked_total").increase(), "model locked"),
                Query(each("kohort_streams_refused_total", 'class="sample"').increase(), "too many streams"),
            ],
            "short",
            Lines(bars=True, stack=True, legend=("sum",)),
            width=12,
            runbooks=("KohortCohortsProbed", "KohortCohortsProbedSlowly", "KohortSamplesRefusedLocked"),
            to=TRAINING,
        ),
        Panel(
            "Cohorts checked",
            "Sets of conditions whose training patients were counted, or estimated by the model where "
            "their table is gone. Estimates are rougher: keep datasets whose models are asked for "
            "cohorts.",
            [Query(each("kohort_cohort_checks_total").by("kind").increase(), "{{kind}}")],
            "short",
            Lines(bars=True, stack=True, legend=("sum",)),
            width=12,
        ),
    ],
)

DASHBOARD = dashboard(
    SAMPLING,
    "Samples: how fast, where their time goes, which models are held ready, what is refused.",
    [_now, _throughput, _time, _models, _refused],
)
