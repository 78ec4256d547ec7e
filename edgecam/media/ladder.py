"""The bitrate ladder: which renditions a camera has, and on which of them a viewer belongs. Pure.

A rendition is the camera's picture at one size, encoded once for everybody on it, at a bitrate between a floor and a
ceiling. The ranges adjoin: what is too little for one rendition is about the ceiling of the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Divisor of width and height, and the share of the camera's ceiling that the bitrate lies between.
_STEPS = ((1, 0.5, 1.0), (2, 0.2, 0.5), (4, 0.08, 0.2))
MIN_SIDE = 160  # pixels: less is no picture worth sending
MIN_CEILING = 100_000  # bit/s
MIN_FLOOR = 50_000
LONE_FLOOR = 0.25  # of the ceiling, when there is only one rendition

MARGIN = 1.15  # a viewer climbs when it could carry that much more than the better rendition needs
PATIENCE = 3.0  # seconds for which it must
MAX_PATIENCE = 60.0
FAILED_WITHIN = 10.0  # a climb that lasted no longer was a mistake: the next one waits twice as long
PROVEN = 30.0  # seconds after which a climb was right, and patience begins anew


@dataclass(frozen=True, slots=True)
class Rung:
    """One rendition: even pixels, frames per second, bit/s."""

    width: int
    height: int
    fps: float
    floor_bps: int
    ceiling_bps: int


def bitrates(index: int, count: int, ceiling_bps: int, floor_bps: int | None) -> tuple[int, int]:
    """Floor and ceiling of one of `count` renditions, for the camera's ceiling and the configured floor, if any."""
    if count == 1:
        return min(floor_bps or max(MIN_FLOOR, round(ceiling_bps * LONE_FLOOR)), ceiling_bps), ceiling_bps
    _divisor, low, high = _STEPS[index]
    ceiling = round(ceiling_bps * high)
    return min(max(floor_bps or MIN_FLOOR, round(ceiling_bps * low)), ceiling), ceiling


def rungs(width: int, height: int, fps: float, ceiling_bps: int, floor_bps: int | None, count: int) -> tuple[Rung, ...]:
    """The renditions of a camera of that size, best first: at least one, at most `count`.

    `floor_bps` is the configured floor, None when there is none. Those too small or too poor to be of use are left out.
    """
    large = sizes(width, height, min(count, worthwhile(ceiling_bps, floor_bps)))
    return tuple(
        Rung(*size, fps, *bitrates(index, len(large), ceiling_bps, floor_bps)) for index, size in enumerate(large)
    )


def worthwhile(ceiling_bps: int, floor_bps: int | None) -> int:
    """How many renditions a bitrate is enough for: below, they would be too poor to be of use."""
    least = max(MIN_CEILING, floor_bps or 0)
    return 1 + sum(ceiling_bps * high >= least for _divisor, _low, high in _STEPS[1:])


def sizes(width: int, height: int, count: int) -> Sequence[tuple[int, int]]:
    """Of the renditions of a camera of that size, best first: at least one, at most `count`. Those too small to be of use are
    left out."""
    lower = [(width // divisor & ~1, height // divisor & ~1) for divisor, _low, _high in _STEPS[1:count]]
    return [(width, height), *(size for size in lower if min(size) >= MIN_SIDE)]


class Placement:
    """On which rendition one viewer belongs: down at once when its link carries less than the rendition needs, up when
    it has carried clearly more than a better one needs for PATIENCE seconds, twice as long after each climb that
    failed. `index` 0 is the best rendition."""

    __slots__ = ("_better_since", "_climbed", "_patience", "index")

    def __init__(self) -> None:
        self.index = 0
        self._patience = PATIENCE
        self._climbed = float("-inf")
        self._better_since: float | None = None

    def decide(self, available_bps: int, needs: Sequence[int], now: float) -> int:
        """The rendition from now on; `needs[i]` is what staying on rendition i takes, bit/s, `now` CLOCK_MONOTONIC seconds."""
        last = len(needs) - 1
        if self.index > last or available_bps < needs[self.index]:
            self._fall(next((i for i, need in enumerate(needs) if i > self.index and available_bps >= need), last), now)
            return self.index
        better = next((i for i in range(self.index) if available_bps >= needs[i] * MARGIN), None)
        if better is None:
            self._better_since = None
        elif self._better_since is None:
            self._better_since = now
        elif now - self._better_since >= self._patience:
            self.index, self._climbed, self._better_since = better, now, None
        return self.index

    def _fall(self, index: int, now: float) -> None:
        if index == self.index:
            return
        if now - self._climbed <= FAILED_WITHIN:
            self._patience = min(MAX_PATIENCE, 2 * self._patience)
        elif now - self._climbed > PROVEN:
            self._patience = PATIENCE
        self.index, self._better_since = index, None
