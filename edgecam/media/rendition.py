"""One rendition of a camera: its viewers, keyframe requests, bitrate, and whether anybody needs it at all."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from edgecam.media.bitrate import BitratePolicy
from edgecam.media.broadcaster import Broadcaster
from edgecam.media.keyframes import KeyframeRequests
from edgecam.media.ladder import Rung
from edgecam.media.types import AccessUnit, EncoderDemand

RATE_WINDOW_NS = 2_000_000_000  # over which the real bitrate and frame rate are measured
RETUNE_STEP = 0.05  # smaller relative changes are not worth a reconfiguration
LINGER = 5.0  # seconds for which a rendition that nobody needs is still encoded: somebody may come back


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a rendition may be. `rung` has the bitrates that the governors' limits leave, `configured_bps` is the ceiling without
    them; `every`: one captured picture of so many is encoded; `lowest`: there is no rendition below."""

    rung: Rung
    configured_bps: int
    every: int
    lowest: bool


class Rendition:
    """`index` 0 is the full size. `running` says what was asked of the encoder, bitrates are bit/s.

    `apply` passes a demand to the encoder; it may be lost while the camera is not open, and `reopened` repeats it.
    """

    def __init__(self, index: int, rung: Rung, apply: Callable[[EncoderDemand], None]) -> None:
        self.index = index
        self.rung = rung
        self.running = index == 0  # as a capture process begins
        self.applied_bps = rung.ceiling_bps
        self.units = 0
        self.keyframes = 0
        self.requests = KeyframeRequests(self._demand_keyframe)
        self.broadcaster = Broadcaster(self.requests.request)
        self.policy = BitratePolicy(rung.floor_bps, rung.ceiling_bps)
        self._every = 1
        self._configured_bps = rung.ceiling_bps
        self._apply = apply
        self._wanted_at = time.monotonic()
        self._recent: deque[tuple[int, int]] = deque()  # (received_ns, bytes) of the last RATE_WINDOW_NS

    # what the camera tells

    def reopened(self, bounds: Bounds) -> None:
        """The camera is open and encodes every picture in rendition 0, at the ceiling that it was started with, nothing else."""
        self._bind(bounds)
        self.policy.limit(self.rung.floor_bps, self.rung.ceiling_bps, lowest=bounds.lowest)
        self.applied_bps = self.rung.ceiling_bps
        if self.index == 0:
            self.running, self._wanted_at = True, time.monotonic()
        if self.running:
            self._demand()

    def limit(self, bounds: Bounds) -> None:
        """Other bounds from now on."""
        self._bind(bounds)
        self.policy.bound(self.rung.floor_bps, self.rung.ceiling_bps, lowest=bounds.lowest)
        if not self.running:
            self.policy.reset()
        self.applied_bps = self.policy.target_bps
        if self.running:
            self._demand()

    def _bind(self, bounds: Bounds) -> None:
        self.rung, self._configured_bps, self._every = bounds.rung, bounds.configured_bps, bounds.every

    def end(self) -> None:
        """Not to be had any more: whoever is on it is moved elsewhere."""
        if self.running:
            self._stop()

    def unit(self, unit: AccessUnit) -> None:
        self.units += 1
        self.keyframes += unit.keyframe
        recent = self._recent
        recent.append((unit.received_ns, len(unit.data)))
        while recent[0][0] < unit.received_ns - RATE_WINDOW_NS:
            recent.popleft()
        self.broadcaster.publish(unit)

    def broke(self) -> None:
        """No more units until it is reopened."""
        self.requests.cancel()
        self.broadcaster.discontinue()
        self._recent.clear()

    def erase(self) -> None:
        """Keep nothing of what was seen."""
        self.requests.cancel()
        self.broadcaster.erase()

    # what viewers need

    @property
    def viewers(self) -> int:
        """Those that are given this rendition now."""
        return sum(feed.rendition == self.index for feed in self.broadcaster.feeds)

    def need(self, now: float) -> None:
        """Have it encoded from now on; `settle` may end that LINGER after the last call, CLOCK_MONOTONIC seconds."""
        self._wanted_at = now
        if not self.running:
            self.running = True
            self._demand()

    def settle(self, needed: bool, now: float) -> None:
        """Begin or end encoding, as somebody needs it or nobody has for a while."""
        if needed:
            self.need(now)
        elif self.running and now - self._wanted_at >= LINGER:
            self._stop()

    def retune(self, now: float) -> tuple[int, int] | None:
        """Follow the viewers' links; (old, new) bitrate when the encoder was told a new one."""
        before = self.applied_bps
        staying = [feed for feed in self.broadcaster.feeds if feed.destination == self.index]
        target = self.policy.update([feed.limit(now, self.rung.ceiling_bps) for feed in staying], now)
        small = abs(target - before) < RETUNE_STEP * before
        if target == before or (small and target not in {self.rung.floor_bps, self.rung.ceiling_bps}):
            return None
        self.applied_bps = target
        if self.running:
            self._demand()
        return before, target

    # what status reads

    def measured(self) -> tuple[float, float]:
        """(frames per second, bit/s) over the last two seconds; zeros when nothing came."""
        now = time.monotonic_ns()
        recent = [(at, size) for at, size in self._recent if at >= now - RATE_WINDOW_NS]
        if len(recent) < 2:
            return 0.0, 0.0
        seconds = max(1e-3, (recent[-1][0] - recent[0][0]) / 1e9)
        return (len(recent) - 1) / seconds, sum(size for _, size in recent[1:]) * 8 / seconds

    def _stop(self) -> None:
        self.running = False
        self.requests.cancel()
        self.broadcaster.forget()
        self._recent.clear()
        self.policy.reset()
        self.applied_bps = self.policy.target_bps
        self._apply(EncoderDemand(0, rendition=self.index, every=self._every))

    def _demand(self, *, keyframe: bool = False) -> None:
        # All of it each time: one that is lost while the camera is not open, or does not read, is made good by the next.
        self._apply(EncoderDemand(self.applied_bps, keyframe, self.index, self._every, self._configured_bps))

    def _demand_keyframe(self) -> None:
        self._wanted_at = time.monotonic()
        self.running = True
        self._demand(keyframe=True)
