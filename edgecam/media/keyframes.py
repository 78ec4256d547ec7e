"""One debounced keyframe request, however many viewers ask: a PLI storm costs one IDR per interval, and one viewer alone
cannot have that for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

# Long enough that fifty viewers' PLIs for one loss become one IDR, short enough that nobody notices the wait.
MIN_INTERVAL = 0.3  # seconds
# Every IDR is one for all viewers: whoever needs another all the time gets them at this rate.
VIEWER_BURST = 3
VIEWER_INTERVAL = 1.0  # seconds


class ViewerTurns:
    """When one viewer's requests are due: VIEWER_BURST of them at once, then one per VIEWER_INTERVAL. None is lost: the one
    that waits stands for all that come meanwhile. Times are CLOCK_MONOTONIC seconds."""

    __slots__ = ("_due", "_spent")

    def __init__(self) -> None:
        self._due = 0.0
        self._spent = 0.0  # until when what was granted lasts, at one per interval

    def next(self, now: float) -> float:
        """When a request of now is to be passed on, `now` at the earliest."""
        if self._due <= now:
            spent = max(self._spent, now)
            self._due = max(now, spent - (VIEWER_BURST - 1) * VIEWER_INTERVAL)
            self._spent = spent + VIEWER_INTERVAL
        return self._due


class KeyframeRequests:
    """Calls `send` at most once per MIN_INTERVAL; a request that comes too early is sent at the end of it."""

    def __init__(self, send: Callable[[], None]) -> None:
        self.asked = 0
        self.sent = 0
        self._send = send
        self._last = -MIN_INTERVAL
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0  # when it fires

    def request(self, due: float = 0.0) -> None:
        """Ask at `due` (CLOCK_MONOTONIC, seconds), or as soon after it as may be; an earlier request that waits longer
        is brought forward."""
        self.asked += 1
        due = max(due, self._last + MIN_INTERVAL)
        if self._timer is not None:
            if due >= self._due:
                return
            self.cancel()
        wait = due - time.monotonic()
        if wait <= 0:
            self._fire()
        else:
            self._due = due
            self._timer = asyncio.get_running_loop().call_later(wait, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._last = time.monotonic()
        self.sent += 1
        self._send()

    def cancel(self) -> None:
        """Forget a request that is still waiting."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
