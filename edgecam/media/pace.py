"""Whether a camera gives the pictures that it agreed to: a hub or a link that is full lets through a trickle, without an error."""

from __future__ import annotations

from collections import deque

WINDOW = 5.0  # seconds
# Of the agreed rate. Many cameras expose longer in the dark, and give a third of it by themselves.
TOO_FEW = 0.25


class Pace:
    """Counts over the last WINDOW seconds. Times are CLOCK_MONOTONIC seconds."""

    def __init__(self) -> None:
        self._told: deque[tuple[float, int]] = deque()

    def slow(self, frames_captured: int, fps: float, now: float) -> bool:
        """Told about once a second how many pictures there have been: whether they are far too few; false until that is known."""
        if self._told and frames_captured < self._told[-1][1]:
            self._told.clear()  # another capture process
        self._told.append((now, frames_captured))
        while now - self._told[0][0] > WINDOW + 1:
            self._told.popleft()
        since, before = self._told[0]
        return now - since >= WINDOW and frames_captured - before < TOO_FEW * fps * (now - since)
