"""The order of registrations, on one instance and across several."""

from __future__ import annotations

import time


class Stamps:
    """A hybrid logical clock (Kulkarni and others, 2014): milliseconds of the wall clock, but never twice the same
    and always later than every stamp that was seen, so that wrong clocks cannot turn cause and effect round."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        """The stamp of what happens now."""
        self._last = max(self._last + 1, time.time_ns() // 1_000_000)
        return self._last

    def saw(self, stamp: int) -> None:
        """Take note of another instance's stamp."""
        self._last = max(self._last, stamp)
