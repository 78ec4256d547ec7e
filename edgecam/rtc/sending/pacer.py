"""Large units leave in steps, so that they do not overflow the first small buffer on their way.

Without an estimate of the viewer's link: 16 packets at once, then every 5 ms 8 more, or as many as let the whole
backlog leave within four steps. With one: a token bucket that is filled at the pacing rate.
"""

from __future__ import annotations

import asyncio
import math
from typing import Protocol

import structlog

log = structlog.get_logger(__name__)

AT_ONCE = 16  # packets
STEP_PACKETS = 8
STEP = 0.005  # seconds
STEPS = 4
MAX_STEP_PACKETS = 64

PACKET_BITS = 9600  # of a full packet
LEAST_BURST = 4  # packets that even the slowest link may get at once
# What fits into this much of the pacing rate goes at once: every ordinary unit at 25 pictures a second and more, so that
# the timer, which costs as much as sending does, runs for keyframes only.
BURST_NS = 40_000_000


class Backlogged(Protocol):
    """A viewer with packets left to send."""

    def resume(self) -> bool:
        """Send what may be sent now; returns whether anything is left."""


class Allowance:
    """How many packets one viewer may be sent now. `bps` is the pacing rate, None without an estimate."""

    __slots__ = ("_filled_ns", "_step", "_tokens", "bps")

    def __init__(self) -> None:
        self.bps: int | None = None
        self._tokens = float(AT_ONCE)
        self._filled_ns = 0
        self._step = STEP_PACKETS

    def at_once(self, now_ns: int) -> int:
        """Packets that may go when a unit comes and nothing is waiting."""
        if self.bps is None:
            return AT_ONCE
        return self._filled(now_ns)

    def waiting(self, packets: int) -> None:
        """So many packets wait now; called whenever that number grows."""
        self._step = min(MAX_STEP_PACKETS, max(STEP_PACKETS, -(-packets // STEPS)))

    def step(self, now_ns: int) -> int:
        """Packets that may go at a tick of the timer."""
        if self.bps is None:
            return self._step
        return self._filled(now_ns)

    def spent(self, packets: int) -> None:
        if self.bps is not None:
            self._tokens -= packets

    def _filled(self, now_ns: int) -> int:
        assert self.bps is not None
        per_ns = self.bps / PACKET_BITS / 1e9
        most = max(LEAST_BURST, min(AT_ONCE, per_ns * BURST_NS))
        # The last step may have come late: what it could have sent is not lost.
        most += per_ns * STEP * 1e9
        self._tokens = min(most, self._tokens + (now_ns - self._filled_ns) * per_ns)
        self._filled_ns = now_ns
        return int(self._tokens)


class Pacer:
    """The one timer of a camera. It runs only while a viewer has a backlog."""

    def __init__(self) -> None:
        self._waiting: dict[Backlogged, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, viewer: Backlogged) -> None:
        """Call `resume` every STEP until nothing is left."""
        self._waiting[viewer] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(STEP, self._tick)

    def discard(self, viewer: Backlogged) -> None:
        self._waiting.pop(viewer, None)

    @property
    def late(self) -> float:
        """Seconds since which a viewer with a backlog should have been served; 0 when none waits."""
        if not self._waiting:
            return 0.0
        if self._timer is None:
            return math.inf
        return max(0.0, asyncio.get_running_loop().time() - self._timer.when())

    def _tick(self) -> None:
        self._timer = None
        started = asyncio.get_running_loop().time()
        try:
            for viewer in list(self._waiting):
                if viewer in self._waiting and not self._resume(viewer):
                    self._waiting.pop(viewer, None)
        finally:
            if self._waiting and self._timer is None:  # else `resume` added somebody, or all have left
                self._timer = asyncio.get_running_loop().call_at(started + STEP, self._tick)

    def _resume(self, viewer: Backlogged) -> bool:
        """Whether the viewer is to be called again: one that raises is not, and the others go on."""
        try:
            return viewer.resume()
        except Exception:  # per-viewer boundary: the timer is everybody's
            log.exception("sending.pacing-failed")
            return False
