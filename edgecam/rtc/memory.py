"""Memory of viewers who left, given back to the system: without asking, glibc keeps it for ever once many were here."""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import Callable

# Seconds after a viewer left, and between two times; then some 8 ms of work, whatever number of others left meanwhile.
DELAY = 5.0


class MemoryReturn:
    """Call `soon()` whenever a session has ended. Sessions are cycles of small objects with much of OpenSSL's behind them,
    so that Python itself would collect them late. Where there is no malloc_trim(3), which is glibc's, it only collects."""

    def __init__(self) -> None:
        self._trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
        self._timer: asyncio.TimerHandle | None = None

    def soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY, self._give_back)

    def cancel(self) -> None:
        """Forget what is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_back(self) -> None:
        self._timer = None
        gc.collect()
        if self._trim is not None:
            self._trim(0)
