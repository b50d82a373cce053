"""The machines: GPUs, and the cores and memory that serving, training and parsing use."""

from __future__ import annotations

from tools.dashboards.common import DEVICES, JOBS, MACHINE, dashboard
from tools.dashboards.grafana import Panel, Query, Row
from tools.dashboards.limits import high
from tools.dashboards.looks import Bars, Lines, Number
from tools.dashboards.series import each

_GPU = "a GPU"
_used, _size = each("kohort_device_memory_used_bytes"), each("kohort_device_memory_size_bytes")
_busy = each("kohort_device_utilisation_ratio").by("instance", "gpu")
_celsius = each("kohort_device_temperature_celsius").by("instance", "gpu")
_NAME = "{{instance}} {{gpu}}"
_cpu, _resident = each("kohort_processes_cpu_seconds_total"), each("kohort_processes_resident_bytes")

_gpus = Row(
    "GPUs",
    [
        Panel(
            "Memory in use",
            "Share of each GPU's memory, by whatever runs on it. Full: a training halves its batches "
            "or fails with OUT_OF_MEMORY; see who else is on the GPU.",
            [Query(f"max by (instance, gpu) ({_used.select()} / {_size.select()})", _NAME)],
            "percentunit",
            Bars(limits=high(0.85, 0.95), least=0, most=1),
            width=6,
            runbooks=("KohortGpuMemoryNearlyFull", "KohortGpuMissing"),
            needs=_GPU,
        ),
        Panel(
            "Memory",
            "Bytes in use, and the size (dashed). In use with no job running: another program, or a "
            "child that did not end.",
            [
                Query(_used.by("instance", "gpu").now(), _NAME),
                Query(_size.by("instance", "gpu").now(), f"size: {_NAME}"),
            ],
            "bytes",
            Lines(dashed=("/^size: /",), least=0),
            width=6,
            runbooks=("KohortGpuMemoryNearlyFull",),
            needs=_GPU,
        ),
        Panel(
            "Utilisation",
            "Share of time in which something ran. Low while a training fits: batches too small, or a "
            "CPU that cannot keep up; raise batch_size.",
            [Query(_busy.now(), _NAME)],
            "percentunit",
            Lines(least=0, most=1),
            width=6,
            needs=_GPU,
            to=JOBS,
        ),
        Panel(
            "Temperature",
            "Above 85 °C most GPUs slow themselves down: look at fans and air.",
            [Query(_celsius.now(), _NAME)],
            "celsius",
            Lines(limits=high(80, 90)),
            width=6,
            needs=_GPU,
        ),
    ],
)

_processes = Row(
    "Processes: of each server (or worker that serves its own metrics) and all below it",
    [
        Panel(
            "Cores in use",
            "By what they are used for, on all machines. training at the number of cores while samples "
            "are slow: give the workers a machine of their own.",
            [Query(_cpu.by("part").rate(), "{{part}}")],
            "none",
            Lines(stack=True),
            width=12,
        ),
        Panel(
            "Memory in use",
            "Resident memory by what it is used for; pages that processes share count in each. "
            "training grows with tables and batches, parsing with uploads.",
            [Query(_resident.by("part").now(), "{{part}}")],
            "bytes",
            Lines(stack=True),
            width=12,
            runbooks=("KohortMemoryGrowing",),
        ),
        Panel(
            "Cores by machine",
            "Where the work is done. One at its number of cores while others idle: its slots "
            "(`devices`) are too many, or theirs too few.",
            [Query(_cpu.by("instance").rate(), "{{instance}}")],
            "none",
            Lines(),
        ),
        Panel(
            "Memory by machine",
            "Near the machine's memory the kernel kills a training: its job fails with OUT_OF_MEMORY.",
            [Query(_resident.by("instance").now(), "{{instance}}")],
            "bytes",
            Lines(),
        ),
        Panel(
            "Up since",
            "When each process was started. Lately, and nobody did it: the log and the kernel's log "
            "say why it ended.",
            [
                Query(
                    f"time() - {each('process_start_time_seconds').by('instance').now('max')}", "{{instance}}"
                )
            ],
            "s",
            Number(graph=False, says="value_and_name"),
            runbooks=("KohortRestartLoop",),
        ),
    ],
)

DASHBOARD = dashboard(
    DEVICES,
    "GPUs where there are any, and the cores and memory that serving, training and parsing use.",
    [_processes, _gpus],
    (MACHINE,),
)
