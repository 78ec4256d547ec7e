"""One debounced keyframe request, however many viewers ask: a PLI storm costs one IDR per interval."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

# Long enough that fifty viewers' PLIs for one loss become one IDR, short enough that nobody notices the wait.
MIN_INTERVAL = 0.3  # seconds


class KeyframeRequests:
    """Calls `send` at most once per MIN_INTERVAL; a request that comes too early is sent at the end of it."""

    def __init__(self, send: Callable[[], None]) -> None:
        self.asked = 0
        self.sent = 0
        self._send = send
        self._last = -MIN_INTERVAL
        self._timer: asyncio.TimerHandle | None = None

    def request(self) -> None:
        self.asked += 1
        if self._timer is not None:
            return
        wait = self._last + MIN_INTERVAL - time.monotonic()
        if wait <= 0:
            self._fire()
        else:
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
