"""A day's bytes: how many are left for how much of the day, and what that allows. Pure.

The share that counts is (bytes left ÷ budget) ÷ (time left ÷ day): 1 when the day's bytes are spent as evenly as the
clock runs, less when they go faster. Nobody watches evenly, so that a fifth may be ahead of the clock before anything happens.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from edgecam.media.types import Limits

DAY = 86_400.0  # seconds
JUMP = 60.0  # seconds by which the wall clock may differ from the one since boot: more is a jump
# At which share each step begins; back up at HYSTERESIS more.
SHARES = (0.8, 0.65, 0.5, 0.35, 0.2)
HYSTERESIS = 0.08
LADDER = (
    Limits(),
    Limits(bitrate=0.7),
    Limits(bitrate=0.5),
    Limits(bitrate=0.35),
    Limits(bitrate=0.35, best_rendition=1),
    Limits(bitrate=0.35, best_rendition=2),
    Limits(fps=5, bitrate=0.0, best_rendition=2),  # spent: the poorest picture there is
)
SPENT = len(LADDER) - 1


@dataclass(frozen=True, slots=True)
class Record:
    """What outlives a restart: the day (ISO date), the bytes sent in it, and for how many seconds it was counted."""

    day: str
    octets: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the budget: its ISO date, when it begins and ends, Unix time. Days of 23 and 25 hours there are too."""

    name: str
    begin: float
    end: float

    @classmethod
    def at(cls, wall: float, begins: int) -> Day:
        """The one that holds the moment `wall`, Unix time; `begins` is an hour of local time."""
        local = time.localtime(wall)
        day = local.tm_mday - (local.tm_hour < begins)
        begin, end = (
            time.mktime((local.tm_year, local.tm_mon, day + more, begins, 0, 0, 0, 0, -1)) for more in (0, 1)
        )
        return cls(time.strftime("%Y-%m-%d", time.localtime(begin)), begin, end)


class Budget:
    """`used` of `budget` bytes are sent in the day `day`. `wall` is Unix time, `now` CLOCK_BOOTTIME, both seconds.

    The clock is believed when it goes on, also to a new day. Set back behind the day that is counted, it is not, until
    24 hours have been counted: an old clock, as a machine without a battery has it at boot, gives no second budget. When it
    jumps to another day, what was sent since the start goes along: that was hardly yesterday.
    """

    def __init__(self, budget: int, begins: int, record: Record | None, wall: float, now: float) -> None:
        self.budget = budget
        self.level = 0
        self._begins = begins
        self._clock = Day.at(wall, begins)
        self._record = record if record is not None else Record(self._clock.name, 0, 0.0)
        self._since_start = Record(self._record.day, 0, 0.0)
        self._wall, self._now = wall, now
        if self._clock.name > self._record.day:
            self._turn(jumped=False)

    @property
    def record(self) -> Record:
        return self._record

    @property
    def used(self) -> int:
        return self._record.octets

    @property
    def day(self) -> str:
        return self._record.day

    @property
    def share(self) -> float:
        """See above; 0 when everything is spent."""
        left = max(0.0, 1 - self.used / self.budget)
        return left / max(1e-6, 1 - self.gone)

    @property
    def gone(self) -> float:
        """How much of the day is over, 0 to 1; when the clock is not believed, as far as it was counted."""
        if self._clock.name == self.day:
            return min(1.0, max(0.0, (self._wall - self._clock.begin) / (self._clock.end - self._clock.begin)))
        return min(1.0, self._record.seconds / DAY)

    @property
    def spent(self) -> bool:
        return self.used >= self.budget

    def apply(self, budget: int, begins: int) -> None:
        """Another budget, and another hour at which the day begins, from the next count on. What was counted belongs to the day
        that it is then."""
        believed = self._clock.name == self.day
        self.budget, self._begins = budget, begins
        self._clock = Day.at(self._wall, begins)
        if believed:
            self._record = replace(self._record, day=self._clock.name)

    def count(self, octets: int, wall: float, now: float) -> int:
        """So many bytes more were sent; the level from now on."""
        passed = max(0.0, now - self._now)
        jumped = abs((wall - self._wall) - passed) > JUMP
        self._wall, self._now = wall, now
        if not self._clock.begin <= wall < self._clock.end:
            self._clock = Day.at(wall, self._begins)
        self._record = _more(self._record, octets, passed)
        self._since_start = _more(self._since_start, octets, passed)
        if self._clock.name > self.day or (self._clock.name < self.day and self._record.seconds >= DAY):
            self._turn(jumped=jumped)
        self.level = self._judged()
        return self.level

    def _turn(self, *, jumped: bool) -> None:
        day = self._clock.name
        kept = self._since_start if jumped else Record(day, 0, 0.0)
        self._record = Record(day, kept.octets, kept.seconds)
        self._since_start = self._record

    def _judged(self) -> int:
        if self.spent:
            return SPENT
        share = self.share
        down = sum(share < limit for limit in SHARES)
        up = sum(share < limit + HYSTERESIS for limit in SHARES)
        return min(max(self.level, down), up)


def _more(record: Record, octets: int, seconds: float) -> Record:
    return Record(record.day, record.octets + octets, record.seconds + seconds)
