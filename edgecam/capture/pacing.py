"""When pictures are due: schedules on CLOCK_MONOTONIC that never drift."""

from __future__ import annotations

import time
from collections.abc import Iterator


def sleep_until(due_ns: int) -> int:
    """Sleep until CLOCK_MONOTONIC shows `due_ns`; nanoseconds that it is late, 0 when it was not."""
    wait = due_ns - time.monotonic_ns()
    if wait > 0:
        time.sleep(wait / 1e9)
        return 0
    return -wait


def steady(fps: float) -> Iterator[int]:
    """0, 1, 2 … at `fps` per second for ever; numbers whose time has passed (overload, a stopped process) are skipped."""
    period = 1e9 / fps
    start = time.monotonic_ns()
    number = 0
    while True:
        late = sleep_until(start + int(number * period))
        number += int(late / period)
        yield number
        number += 1


class RateCap:
    """Thins pictures out to at most `fps` per second; a source that is no faster passes untouched."""

    def __init__(self, fps: float) -> None:
        self._period = 1e9 / fps
        self._due = 0.0

    def passes(self, time_ns: int) -> bool:
        """Whether the picture of that time is shown. Half a period of jitter is forgiven."""
        if time_ns < self._due - self._period / 2:
            return False
        # Stay on the grid while the source keeps up, so that 30 fps thinned to 20 is 20 and not 15.
        self._due = max(self._due, time_ns - self._period / 2) + self._period
        return True
