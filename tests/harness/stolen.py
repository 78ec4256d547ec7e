"""What of the processors' time this machine did not get: taken by a host for others (steal), or kept back by a limit (throttling).

A test that runs against the clock says by it whether the machine stood still, or what it tests."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from tests.harness.repeating import repeated

MUCH = 0.1  # of the processors' time: what runs against the clock proves nothing meanwhile
STAT, LIMIT = Path("/proc/stat"), Path("/sys/fs/cgroup/cpu.stat")
SLOWEST = 4.0  # times as long: who waits longer than that waits for nothing


def _used_and_taken() -> tuple[float, float]:
    """Processor seconds since the machine began: that it got, and that were kept from it."""
    # proc(5), the line "cpu".
    user, nice, system, _idle, _waiting, irq, softirq, steal, *_ = map(int, STAT.read_text().split("\n", 1)[0].split()[1:])
    try:
        limit = dict(line.split() for line in LIMIT.read_text().splitlines())
    except OSError:  # no such file: no limit
        limit = {}
    second = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq) / second, steal / second + int(limit.get("throttled_usec", 0)) / 1e6


class Stolen:
    """From when it was made."""

    def __init__(self) -> None:
        self._begun, (self._used, self._taken) = time.monotonic(), _used_and_taken()

    @property
    def share(self) -> float:
        """Of all processors' time, 0 to 1. A processor that nobody wanted is not missed, so a little may be all there was."""
        seconds = (time.monotonic() - self._begun) * (os.cpu_count() or 1)
        return (_used_and_taken()[1] - self._taken) / seconds if seconds else 0.0

    @property
    def slowdown(self) -> float:
        """How many times as long as on processors of its own took what wanted to run, 1 to SLOWEST."""
        used, taken = _used_and_taken()
        used, taken = used - self._used, taken - self._taken
        return min(1 + taken / used, SLOWEST) if used else 1.0

    def __str__(self) -> str:
        return f"{self.share:.0%} of its processors' time was taken away meanwhile"


def repeated_while_stolen(act: Callable[[], None]) -> None:
    """Act; again, if it fails and the machine was somebody else's meanwhile."""
    stolen = Stolen()

    def anew() -> None:
        nonlocal stolen
        stolen = Stolen()
        act()

    repeated(anew, lambda: f"of this machine, {stolen}" if stolen.share >= MUCH else "")
