"""How a task that works by itself proves that it turns: it says when it will be heard of again, and keeps that."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

LATE = 3.0  # seconds that a promise may be late on a machine with too much to do
GONE = 8.0  # seconds after which what was cancelled and not begun again is missed: a reload does that too, and is quicker


class Pulse:
    """A promise, and whether it was kept. It costs one number while all is well: nobody is woken to say "still here"."""

    __slots__ = ("_cancelled_at", "_doing", "_due", "_returned", "attempt")

    def __init__(self) -> None:
        self.attempt: Callable[[], float] | None = None  # by when what runs now is to be heard of, CLOCK_MONOTONIC seconds
        self._due = math.inf  # CLOCK_MONOTONIC seconds
        self._doing = ""
        self._returned = False
        self._cancelled_at = math.inf

    def promise(self, doing: str, seconds: float) -> None:
        """To be heard of again within that time; `doing` says what until then."""
        self._begun()
        self._due, self._doing = time.monotonic() + seconds, doing

    def free(self) -> None:
        """Nothing is promised: what runs now has deadlines of its own, or may take for ever."""
        self._begun()

    def returned(self) -> None:
        """Whoever gave it has ended, which nobody asked for."""
        self._due, self._returned = math.inf, True

    def cancelled(self) -> None:
        """Whoever gave it was cancelled: begun anew, or no longer wanted."""
        self._due, self._cancelled_at = math.inf, time.monotonic()

    def _begun(self) -> None:
        self._due, self._returned, self._cancelled_at = math.inf, False, math.inf

    def broken(self, now: float, *, wanted: bool = False) -> str:
        """What is wrong, in words; empty while the promise is kept. `now` is CLOCK_MONOTONIC seconds; `wanted`: it is certain that
        somebody must be at it."""
        if self._returned or (wanted and now - self._cancelled_at > GONE):
            return "its supervisor has ended"
        if now - self._due > LATE:
            return f"its supervisor hangs: {self._doing}, {now - self._due:.0f} s late"
        late = now - self.attempt() if self.attempt is not None and self._due == math.inf else 0.0
        return f"it hangs: {late:.0f} s ago it should have given something, or up" if late > LATE else ""
