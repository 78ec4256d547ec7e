"""How often a viewer may do something."""

from __future__ import annotations


class Allowance:
    """A token bucket, full at first: `rate` a second, `burst` at once. Times are CLOCK_MONOTONIC seconds."""

    __slots__ = ("_burst", "_left", "_rate", "_updated")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._updated = 0.0

    def spend(self, now: float) -> bool:
        """Whether one more is allowed now."""
        self._left = min(self._burst, self._left + (now - self._updated) * self._rate)
        self._updated = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
