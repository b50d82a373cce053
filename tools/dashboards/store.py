"""What is kept: disk, database, blobs; how fast the store answers; what comes in."""

from __future__ import annotations

from tools.dashboards.common import SERVICE, STORE, dashboard, heat, quantiles, share
from tools.dashboards.grafana import Panel, Query, Row
from tools.dashboards.limits import NEGATIVE_IS_BAD, high, low
from tools.dashboards.looks import Bars, Dial, Heat, Lines, Number
from tools.dashboards.series import each, once

_free, _size = each("kohort_disk_free_bytes"), each("kohort_disk_size_bytes")
_database, _blobs = once("kohort_database_bytes"), once("kohort_blob_bytes")
_calls, _errors = each("kohort_store_seconds"), each("kohort_store_errors_total")
_parse = each("kohort_upload_parse_seconds")
_free_share = f"{_free.select()} / {_size.select()}"
_TREND = "6h"
_AHEAD = 4 * 24 * 3600

_now = Row(
    "Now",
    [
        Panel(
            "Disk free",
            "Share of the file system of data_dir that is free, on the machine with the least. Below a "
            "tenth: shorten dataset_ttl_seconds, delete models that nobody uses, or enlarge it. Full: "
            "nothing is taken any more.",
            [Query(f"min({_free_share})")],
            "percentunit",
            Dial(limits=low(0.1, 0.2), least=0, most=1),
            width=4,
            height=4,
            runbooks=("KohortDiskLow", "KohortDiskFilling"),
        ),
        Panel(
            "Disk full in",
            "At the pace of the last six hours, on the machine where it is soonest; years where "
            "nothing is written.",
            [Query(f"min({_free.select()} / clamp_min(-deriv({_free.select()}[{_TREND}]), 1))")],
            "s",
            Number(limits=low(86400, 4 * 86400), graph=False),
            width=4,
            height=4,
            runbooks=("KohortDiskFilling",),
        ),
        Panel(
            "Database",
            "Size of the database. Gigabytes: events of many long jobs; they are compacted per job, "
            "not deleted.",
            [Query(_database.now())],
            "bytes",
            Number(),
            width=4,
            height=4,
        ),
        Panel(
            "Blobs",
            "Bytes of datasets, models and reports, as their records say. Far less than the disk lost: "
            "orphans, which the janitor sweeps after a day.",
            [Query(_blobs.now())],
            "bytes",
            Number(),
            width=4,
            height=4,
        ),
        Panel(
            "Store calls, p95",
            "Of all servers, with waiting for a thread. Above half a second every call is slow: a slow "
            "disk (SQLite) or a database far away or busy (PostgreSQL).",
            [Query(_calls.quantile(0.95))],
            "s",
            Number(limits=high(0.1, 0.5)),
            width=4,
            height=4,
            runbooks=("KohortDatabaseSlow",),
        ),
        Panel(
            "Store errors",
            "Calls of the store that failed within the last quarter of an hour. Any: is the database "
            "up, has its disk room, does the network reach it?",
            [Query(_errors.increase("15m"))],
            "short",
            Number(limits=high(1, 10), decimals=0),
            width=4,
            height=4,
            runbooks=("KohortStoreErrors",),
            to=SERVICE,
        ),
    ],
)

_disk = Row(
    "Disk",
    [
        Panel(
            "Free",
            "Free bytes of the file system of data_dir, and its size (dashed). Steps down are uploads "
            "and models; a slope without end is something that is not cleaned up.",
            [
                Query(_free.by("instance").now(), "{{instance}}"),
                Query(_size.by("instance").now(), "size: {{instance}}"),
            ],
            "bytes",
            Lines(dashed=("/^size: /",), least=0),
            runbooks=("KohortDiskLow",),
        ),
        Panel(
            "Free in four days",
            "As the last six hours say. Below zero: find out what grows (below), and delete, expire or "
            "enlarge before it is full.",
            [
                Query(
                    f"min by (instance) (predict_linear({_free.select()}[{_TREND}], {_AHEAD}))",
                    "{{instance}}",
                )
            ],
            "bytes",
            Lines(limits=NEGATIVE_IS_BAD),
            runbooks=("KohortDiskFilling",),
        ),
        Panel(
            "Free share by machine",
            "Of each machine's file system of data_dir. One far below the others: see what else lies "
            "on its disk.",
            [Query(f"min by (instance) ({_free_share})", "{{instance}}")],
            "percentunit",
            Bars(limits=low(0.1, 0.2), least=0, most=1),
        ),
    ],
)

_kept = Row(
    "What is kept",
    [
        Panel(
            "Blobs by kind",
            "datasets fall when they expire or are deleted after training; models and reports stay "
            "until somebody deletes them.",
            [Query(_blobs.by("kind").now(), "{{kind}}")],
            "bytes",
            Lines(stack=True),
            width=12,
        ),
        Panel(
            "Database",
            "Its size, its journal among it. A jump that stays: many events or reports at once.",
            [Query(_database.now(), "database")],
            "bytes",
            Lines(least=0),
            width=12,
        ),
    ],
)

_answers = Row(
    "How the store answers",
    [
        Panel(
            "Calls",
            "Calls of the store per second, by server. Many without load: watchers and polls, one of "
            "each per second.",
            [Query(_calls.by("instance").count_rate(), "{{instance}}")],
            "ops",
            Lines(stack=True),
        ),
        Panel(
            "Duration of calls",
            "With waiting for a thread. The median too: the database itself is slow; only the tail: bursts.",
            quantiles(_calls, 0.5, 0.95, 0.99),
            "s",
            Lines(log=True, limits=high(0.1, 0.5)),
            runbooks=("KohortDatabaseSlow",),
        ),
        Panel(
            "Durations of calls",
            "How many calls took how long. A band that moves up with load: more load than the database "
            "takes; PostgreSQL takes more than SQLite.",
            heat(_calls),
            "s",
            Heat(),
        ),
        Panel(
            "Errors",
            "Calls that failed: no answer, no room or a defect; the log names the reason. All servers "
            "at once: the database is gone.",
            [Query(_errors.by("instance").increase(), "{{instance}}")],
            "short",
            Lines(bars=True, stack=True, legend=("sum",)),
            width=12,
            runbooks=("KohortStoreErrors",),
        ),
        Panel(
            "Failed share",
            "Share of calls that failed, by server. One of several: its network; all: the database.",
            [Query(share(_errors.by("instance").rate(), _calls.by("instance").count_rate()), "{{instance}}")],
            "percentunit",
            Lines(limits=high(0.001, 0.01), least=0),
            width=12,
            runbooks=("KohortStoreErrors",),
        ),
    ],
)

_uploads = Row(
    "Uploads",
    [
        Panel(
            "Bytes",
            "Bytes of datasets per second, by format. Flat at the network's speed: ask for Parquet, "
            "which is the smallest.",
            [Query(each("kohort_upload_bytes_total").by("format").rate(), "{{format}}")],
            "Bps",
            Lines(stack=True),
        ),
        Panel(
            "Rows",
            "Rows stored per second, by format; in the moment that an upload ends. Bytes without rows: "
            "uploads that are refused or broken off.",
            [Query(each("kohort_upload_rows_total").by("format").rate(), "{{format}}")],
            "rowsps",
            Lines(stack=True),
        ),
        Panel(
            "Reading an upload",
            "How long reading and checking took, p95 by format; nothing where none was read. Excel is "
            "the slowest. Near parse_seconds: ask for Parquet.",
            [Query(f"{_parse.by('format').quantile(0.95)} >= 0", "{{format}}")],
            "s",
            Lines(log=True),
        ),
    ],
)

DASHBOARD = dashboard(
    STORE,
    "What is kept and how the store answers: disk, database, blobs, calls, uploads.",
    [_now, _disk, _kept, _answers, _uploads],
)
