"""Whether the service answers: calls, failures, durations, streams and their limits, readiness."""

from __future__ import annotations

from tools.dashboards.common import (
    DEVICES,
    SAMPLING,
    SERVICE,
    STORE,
    column,
    dashboard,
    heat,
    quantiles,
    share,
)
from tools.dashboards.grafana import Panel, Query, Row
from tools.dashboards.limits import ANY_IS_BAD, NONE_IS_BAD, high, low
from tools.dashboards.looks import Bars, Grid, Heat, Lines, Number, Timeline
from tools.dashboards.series import RANGE, each

_OURS = 'grpc_service=~"kohort[.].*"'
_FAULTS = 'grpc_code=~"Internal|Unknown|Unavailable|DataLoss"'
"""Codes that the server answers for; a caller's mistakes, refusals and cancellations are none of them."""
_UNARY = 'grpc_type="unary"'
_handled = each("grpc_server_handled_total", _OURS)
_faults = each("grpc_server_handled_total", _OURS, _FAULTS)
_seconds = each("grpc_server_handling_seconds", _OURS, _UNARY)
_all_seconds = each("grpc_server_handling_seconds", _OURS)
_started = each("grpc_server_started_total", _OURS)
_streams, _limits = each("kohort_streams").by("class"), each("kohort_streams_limit").by("class")
_expiry = each("kohort_certificate_expiry_timestamp_seconds").by("instance")

_now = Row(
    "Now",
    [
        Panel(
            "Servers",
            "Servers that Prometheus reached last. Fewer than you run: look at the machine that is "
            "missing, then at its log.",
            [Query(each("kohort_build_info").now("count"))],
            "short",
            Number(limits=NONE_IS_BAD, decimals=0),
            width=4,
            height=4,
            runbooks=("KohortDown", "KohortAbsent"),
        ),
        Panel(
            "Not ready",
            "Services of any server that answer NOT_SERVING. Any: the readiness below says which; a "
            "store that takes no writes and a lack of workers are the usual causes.",
            [Query(f"sum(1 - {each('kohort_ready').select()})")],
            "short",
            Number(limits=ANY_IS_BAD, decimals=0),
            width=4,
            height=4,
            runbooks=("KohortNotReady",),
        ),
        Panel(
            "Calls",
            "Calls that ended per second, on all servers. A fall to nothing with clients at work: the "
            "network or the certificate.",
            [Query(_handled.rate())],
            "reqps",
            Number(),
            width=4,
            height=4,
        ),
        Panel(
            "Failed share",
            "Share of calls that failed by the server's fault (Internal, Unknown, Unavailable, "
            "DataLoss). Above a thousandth: the table below says which RPC, the log says why under the "
            "request id.",
            [Query(share(_faults.rate(), _handled.rate()))],
            "percentunit",
            Number(limits=high(0.001, 0.01), least=0),
            width=4,
            height=4,
            runbooks=("KohortErrorBudgetBurnsFast", "KohortErrorBudgetBurnsSlowly"),
        ),
        Panel(
            "Short calls, p95",
            "Time within which 95 of 100 unary calls ended. Above a second: the database is slow or "
            "the machine busy; go on to Store and Devices.",
            [Query(_seconds.quantile(0.95))],
            "s",
            Number(limits=high(0.5, 2)),
            width=4,
            height=4,
            runbooks=("KohortCallsSlow",),
            to=STORE,
        ),
        Panel(
            "Certificate expires in",
            "Time until the first certificate of a server expires; empty without TLS. Under three "
            "weeks: replace the file, the server reads it again by itself.",
            [Query(f"min(({_expiry.select()} > 0) - time())")],
            "s",
            Number(limits=low(3 * 86400, 21 * 86400), graph=False, decimals=0),
            width=4,
            height=4,
            runbooks=("KohortCertificateExpiresSoon", "KohortCertificateExpires"),
        ),
    ],
)

_ready = Row(
    "Readiness and versions",
    [
        Panel(
            "Readiness",
            "What each server answers to health checks, by service. SamplingService needs a readable "
            "database, DatasetService a writable one and a writable disk, TrainingService and "
            "EvaluationService a live worker besides.",
            [Query(each("kohort_ready").by("instance", "service").now("min"), "{{instance}} {{service}}")],
            "none",
            Timeline(limits=NONE_IS_BAD, names={0: ("not ready", "red"), 1: ("ready", "green")}),
            width=16,
            runbooks=("KohortNotReady",),
        ),
        Panel(
            "Versions",
            "What runs where. Two versions for longer than an upgrade takes: one server was forgotten.",
            [
                Query(
                    each("kohort_build_info").by("instance", "version", "python").now("max"),
                    "{{instance}}: {{version}} (Python {{python}})",
                )
            ],
            "none",
            Number(graph=False, says="name"),
            width=8,
        ),
    ],
)

_calls = Row(
    "Calls",
    [
        Panel(
            "Calls by RPC",
            "Calls that ended per second. A method far above the others: a client that asks again and again.",
            [Query(_handled.by("grpc_method").rate(), "{{grpc_method}}")],
            "reqps",
            Lines(stack=True),
            width=12,
        ),
        Panel(
            "Calls that did not end well, by code",
            "Every code but OK. InvalidArgument and FailedPrecondition are callers' matters; "
            "ResourceExhausted are limits; Unavailable is a server that stops or a store that does not "
            "answer; Internal is a defect.",
            [
                Query(
                    each("grpc_server_handled_total", _OURS, 'grpc_code!="OK"').by("grpc_code").rate(),
                    "{{grpc_code}}",
                )
            ],
            "reqps",
            Lines(stack=True, bars=True),
            width=12,
            runbooks=("KohortDefects", "KohortCallersTurnedAway"),
        ),
        Panel(
            "Duration of short calls",
            "Quantiles of unary calls. The median up with the rest: every call waits for the same, "
            "mostly the database. Only p99 up: a few slow calls, see by RPC.",
            quantiles(_seconds, 0.5, 0.95, 0.99),
            "s",
            Lines(limits=high(0.5, 2)),
            runbooks=("KohortCallsSlow",),
        ),
        Panel(
            "Duration of short calls, p95 by RPC",
            "Which unary call is slow. One alone: what it reads has grown, such as a list without "
            "pages. All: the database, see Store.",
            [Query(_seconds.by("grpc_method").quantile(0.95), "{{grpc_method}}")],
            "s",
            Lines(),
        ),
        Panel(
            "Durations of short calls",
            "How many unary calls took how long. Two bands are two kinds of calls, or one server that "
            "is slower.",
            heat(_seconds),
            "s",
            Heat(),
        ),
        Panel(
            "RPCs",
            "Every RPC in the chosen time. Streams count when they end. A failed share above a "
            "thousandth: look for the method in the log, with its request ids.",
            [
                column(_handled.by("grpc_method").increase(RANGE)),
                column(
                    share(
                        _faults.by("grpc_method").increase(RANGE), _handled.by("grpc_method").increase(RANGE)
                    )
                ),
                column(_all_seconds.by("grpc_method").mean(RANGE)),
            ],
            "short",
            Grid(
                label=("grpc_method", "RPC"),
                columns=(("Calls", "short"), ("Failed share", "percentunit"), ("Mean duration", "s")),
            ),
            width=24,
            height=10,
        ),
    ],
)

_load = Row(
    "Streams and limits",
    [
        Panel(
            "Streams under way",
            "Streams by class, and how many may run (dashed). At the limit clients are refused with "
            "TOO_MANY_STREAMS and try again: raise the limit where the machine has room, or add a "
            "server.",
            [
                Query(_streams.now(), "{{class}}"),
                Query(_limits.now(), "limit: {{class}}"),
            ],
            "short",
            Lines(dashed=("/^limit: /",), log=True),
            runbooks=("KohortStreamsNearLimit",),
        ),
        Panel(
            "Streams of what may run",
            "Share of each limit that is used, on the server that is closest to it. Above nine tenths: "
            "raise the limit where the machine has room, or add a server.",
            [
                Query(
                    f"max by (class) ({_streams.select()} / {_limits.select()})",
                    "{{class}}",
                )
            ],
            "percentunit",
            Bars(limits=high(0.7, 0.9), least=0, most=1),
            runbooks=("KohortStreamsNearLimit",),
        ),
        Panel(
            "Streams refused",
            "Streams that were one too many. Each came back a second later or was given up by its client.",
            [Query(each("kohort_streams_refused_total").by("class").increase(), "{{class}}")],
            "short",
            Lines(stack=True, bars=True, legend=("sum",)),
            runbooks=("KohortStreamsRefused",),
        ),
        Panel(
            "Calls under way",
            "Calls that began and have not ended, by type. Unary calls that pile up wait for the database.",
            [
                Query(
                    f"{_started.by('grpc_type').now()} - {_handled.by('grpc_type').now()}",
                    "{{grpc_type}}",
                )
            ],
            "short",
            Lines(),
        ),
        Panel(
            "Messages",
            "Messages per second: rows and events to clients, uploads from them. Many and small: a "
            "client asks for tiny batches (max_batch_rows).",
            [
                Query(each("grpc_server_msg_sent_total", _OURS).rate(), "to clients"),
                Query(each("grpc_server_msg_received_total", _OURS).rate(), "from clients"),
            ],
            "mps",
            Lines(),
        ),
        Panel(
            "Bytes",
            "Bytes of rows per second: synthetic ones out, datasets in. Flat at the speed of the "
            "network: that is the limit.",
            [
                Query(each("kohort_sample_bytes_total").rate(), "samples, out"),
                Query(each("kohort_upload_bytes_total").rate(), "uploads, in"),
            ],
            "Bps",
            Lines(),
            to=SAMPLING,
        ),
    ],
)

_process = Row(
    "The server's process",
    [
        Panel(
            "CPU",
            "Cores that each server's own process uses, without its workers. Flat at the number of "
            "cores of the machine: add a server.",
            [Query(each("process_cpu_seconds_total").by("instance").rate(), "{{instance}}")],
            "none",
            Lines(),
            to=DEVICES,
        ),
        Panel(
            "Memory",
            "Resident memory of each server's own process. Steady growth over days: take note and "
            "restart it in a quiet hour.",
            [Query(each("process_resident_memory_bytes").by("instance").now(), "{{instance}}")],
            "bytes",
            Lines(),
            runbooks=("KohortMemoryGrowing",),
            to=DEVICES,
        ),
        Panel(
            "Open files",
            "Connections, files and pipes of each server, as a share of what the system allows. Near "
            "1: raise the limit of open files.",
            [
                Query(
                    f"max by (instance) ({each('process_open_fds').select()} / {each('process_max_fds').select()})",
                    "{{instance}}",
                )
            ],
            "percentunit",
            Lines(limits=high(0.7, 0.9), least=0),
        ),
    ],
)

DASHBOARD = dashboard(
    SERVICE,
    "Whether Kohort answers: calls, failures, durations, streams and their limits. Start here.",
    [_now, _ready, _calls, _load, _process],
)
