"""What the process itself costs, under the names that Prometheus' own libraries give it."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

Sample = tuple[str, str, str, float]  # name, type, help, value

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def process_samples() -> Iterator[Sample]:
    """The daemon alone; its capture processes are others. proc(5) has the fields' numbers, there counted from 1."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    user, system, started, virtual, resident = (int(fields[number - 3]) for number in (14, 15, 22, 23, 24))
    yield "process_cpu_seconds_total", "counter", "User and system CPU time.", (user + system) / _TICKS
    yield "process_start_time_seconds", "gauge", "Start, in seconds since 1970.", _booted() + started / _TICKS
    yield "process_virtual_memory_bytes", "gauge", "Virtual memory.", virtual
    yield "process_resident_memory_bytes", "gauge", "Resident memory.", resident * _PAGE
    yield "process_open_fds", "gauge", "Open file descriptors.", sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1  # one reads them
    yield "process_max_fds", "gauge", "How many there may be.", resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _booted() -> float:
    """Seconds since 1970, by a clock that was perhaps set since."""
    lines = Path("/proc/stat").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("btime ")))
