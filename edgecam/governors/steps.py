"""Where on a ladder of limits to stand: down soon, up slowly, and never to and fro. Pure.

Times are CLOCK_MONOTONIC seconds given by the caller. All paces follow from one, for how long all must be well before a
step back: half a minute between two steps down when that is two minutes, ten seconds when it is urgent.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

from edgecam.media.types import Limits

BAD_PACE, URGENT_PACE = 1 / 4, 1 / 12  # of recover_after, between two steps down: each must have had time to help
RELAPSE = 5.0  # times recover_after: whoever must step down again so soon after a step back waits twice as long next time
MOST_PATIENCE = 16.0  # times recover_after
FORGIVEN = 30.0  # times recover_after without any step, after which patience begins anew


def heat_ladder(min_fps: float) -> Sequence[Limits]:
    """First fewer pictures, which costs least to look at and saves most; then bits, then size."""
    slow, slower, slowest = (max(min_fps, fps) for fps in (15.0, 10.0, 5.0))
    return (
        Limits(),
        Limits(fps=slow),
        Limits(fps=slower),
        Limits(fps=slower, bitrate=0.6),
        Limits(fps=slower, bitrate=0.35),
        Limits(fps=slower, bitrate=0.35, best_rendition=1),
        Limits(fps=slowest, bitrate=0.35, best_rendition=2),
    )


WEAK_POWER = 2  # step of that ladder at which whoever lacks voltage stands at least
SHORT_OF_MEMORY = 3  # and memory: queues and histories are as long as bits are many


class Verdict(enum.IntEnum):
    """How things stand. FAIR is between well enough to climb and bad enough to step down."""

    GOOD = 0
    FAIR = 1
    BAD = 2
    URGENT = 3


class Steps:
    """`level` 0 is without limits, `last` the strictest. `changes` counts every change of it."""

    def __init__(self, last: int, recover_after: float) -> None:
        self.level = 0
        self.changes = 0
        self._last = last
        self._recover_after = recover_after
        self._patience = 1.0
        self._stepped_down = float("-inf")
        self._climbed = float("-inf")
        self._good_since: float | None = None

    def apply(self, recover_after: float) -> None:
        """Another pace from now on."""
        self._recover_after = recover_after

    def judge(self, verdict: Verdict, now: float, at_least: int = 0) -> int:
        """The level from now on; to be called regularly. `at_least` is gone to at once."""
        if verdict is not Verdict.GOOD or at_least:
            self._good_since = None
        pace = self._recover_after * (URGENT_PACE if verdict is Verdict.URGENT else BAD_PACE)
        if self.level < at_least:
            self._go(min(at_least, self._last), now)
        elif verdict >= Verdict.BAD and self.level < self._last and now - self._stepped_down >= pace:
            self._go(self.level + 1, now)
        elif self.level and verdict is Verdict.GOOD and not at_least:
            self._climb(now)
        if now - max(self._stepped_down, self._climbed) > FORGIVEN * self._recover_after:
            self._patience = 1.0
        return self.level

    def _climb(self, now: float) -> None:
        if self._good_since is None:
            self._good_since = now
        elif now - self._good_since >= self._recover_after * self._patience:
            self._good_since, self._climbed = now, now
            self._go(self.level - 1, now)

    def _go(self, level: int, now: float) -> None:
        if level > self.level:
            # Several steps down in a row are one relapse.
            if now - self._climbed <= RELAPSE * self._recover_after * self._patience and self._stepped_down < self._climbed:
                self._patience = min(MOST_PATIENCE, 2 * self._patience)
            self._stepped_down = now
        self.level = level
        self.changes += 1
