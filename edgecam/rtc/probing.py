"""Finding out whether a link carries more than it is given: send more for a moment, and see whether anything is late."""

from __future__ import annotations

DURATION = 0.5  # seconds; a quarter more than the link carries is then a queue of 125 ms
FIRST_STEP = 1.5  # of what is known to be available
NEXT_STEP = 2.0  # after a probe that went well
PROMPT = 0.5  # seconds between reports
SPACING = 0.25  # seconds between one that went well and the next
FIRST_WAIT = 2.0  # seconds after congestion or a probe that failed after others went well: that may have been chance
LONGEST_WAIT = 4.5  # the first one of all failed, again and again
MOST_AT_ONCE = 24_000  # octets: a timer that fires late must not make a burst
SHARE = 0.85  # of a rate that was reached without delay is called available
MARGIN = 1.1  # the last probe goes so far beyond what is wanted


class Probing:
    """When and how fast to probe; `goal_bps` is the rate to reach, padding included, 0 between probes. Pure."""

    __slots__ = ("_begun", "_begun_octets", "_climbing", "_due", "_ended", "_ended_octets", "_step", "_wait", "goal_bps")

    def __init__(self, now: float) -> None:
        self.goal_bps = 0
        self._due = now + FIRST_WAIT
        self._wait = FIRST_WAIT
        self._step = FIRST_STEP
        self._climbing = False  # the last probe went well
        self._begun = self._ended = 0.0
        self._begun_octets = self._ended_octets = 0

    @property
    def undecided(self) -> bool:
        """Whether a probe is under way, or its end has not been acknowledged yet."""
        return self._begun > 0.0

    def due(self, now: float) -> bool:
        return not self.undecided and now >= self._due

    def begin(self, available_bps: int, wanted_bps: int, octets: int, now: float) -> None:
        """`octets`: all that were sent before."""
        self.goal_bps = int(min(available_bps * self._step, max(wanted_bps * MARGIN / SHARE, available_bps * MARGIN)))
        self._begun, self._begun_octets = now, octets

    def padding(self, octets: int, now: float) -> int:
        """How many octets to send now on top; to be asked whenever something was sent while there is a goal."""
        if now - self._begun >= DURATION:
            self._ended, self._ended_octets = now, octets
            self.goal_bps = 0
            return 0
        missing = int(self.goal_bps * (now - self._begun) / 8) - (octets - self._begun_octets)
        return min(MOST_AT_ONCE, max(0, missing))

    def acknowledged(self, octets: int, now: float, interval: float) -> int:
        """All octets up to these have arrived in time; the last report came `interval` seconds before. The rate that was
        reached, bit/s, once that is the whole probe; else 0."""
        if not self.undecided or self.goal_bps or octets < self._ended_octets:
            return 0
        reached = (self._ended_octets - self._begun_octets) * 8 / max(0.1, self._ended - self._begun)
        self._begun = 0.0
        # Whoever reports rarely would tell us late that it was too much.
        self._step = NEXT_STEP if interval < PROMPT else FIRST_STEP
        self._wait = FIRST_WAIT
        self._climbing = True
        self._due = now + SPACING
        return int(reached)

    def wait(self, now: float) -> None:
        """Nothing can be sent on top: try again later."""
        self._due = now + self._wait

    def fail(self, now: float) -> None:
        """The link carries less, or something else has gone wrong meanwhile."""
        if self.undecided:
            self._wait = FIRST_WAIT if self._climbing else min(LONGEST_WAIT, self._wait * 1.5)
            self._climbing = False
        self.goal_bps = 0
        self._begun = 0.0
        self._step = FIRST_STEP
        self._due = now + self._wait
