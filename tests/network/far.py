"""What a viewer behind the bad link sees, second by second: the picture, the cable's queue, the daemon's estimate."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeVar

from tests.harness.browser import Visit
from tests.harness.repeating import repeated
from tests.network.cable import Cable
from tests.network.hosts import RemoteDaemon

T = TypeVar("T")

INTERVAL = 0.1  # seconds between two looks
IN_TIME_MS = 10  # a cable that is later than that is not the one that was asked for
# Every picture that reaches the screen, in seconds of the page's clock.
WATCH = """
() => {
  const video = document.querySelector('video');
  window.shown = [];
  const note = (now) => { window.shown.push(now / 1000); video.requestVideoFrameCallback(note); };
  video.requestVideoFrameCallback(note);
}
"""


@dataclass(frozen=True, slots=True)
class Look:
    at: float  # seconds since the phase began
    queueing_ms: float  # worst in the cable since the look before
    overflowed: int  # packets, in all
    viewer: dict[str, Any]  # of the status


@dataclass(slots=True)
class Phase:
    looks: list[Look] = field(default_factory=list)
    longest_gap: float = 0.0  # seconds between two pictures on the screen
    decoded: int = 0
    received: int = 0
    late_ms: float = 0.0  # of the cable itself

    def after(self, seconds: float) -> list[Look]:
        return [look for look in self.looks if look.at >= seconds]

    def lasting(self, holds: Callable[[Look], bool], exceptions: float = 0.0) -> float:
        """Seconds until it held and went on to hold, but for so large a share of the looks that followed."""
        looks = self.looks
        failed = 0
        for index in range(len(looks) - 1, -1, -1):
            failed += not holds(looks[index])
            if failed > exceptions * (len(looks) - index):
                return looks[index].at
        return 0.0


def watch(visit: Visit, daemon: RemoteDaemon, cable: Cable, seconds: float, address: str) -> Phase:
    """Look on for so long, at the daemon's viewer that has that address."""
    phase = Phase()
    before = visit.inbound() or {}
    visit.page.evaluate("() => { window.shown = [window.shown?.at(-1)].filter(Boolean); }")
    begun = time.monotonic()
    cable.read()
    while (at := time.monotonic() - begun) < seconds:
        out, _ = cable.read()
        phase.late_ms = max(phase.late_ms, out.late_ms)
        viewer: dict[str, Any] = next(
            (v for v in daemon.status()["viewers"] if (v["remote"] or "").startswith(f"{address}:")), {}
        )
        phase.looks.append(Look(at, out.queueing_ms_max, out.overflowed, viewer))
        time.sleep(INTERVAL)
    shown = visit.page.evaluate("[...window.shown, performance.now() / 1000]")
    phase.longest_gap = max(later - earlier for earlier, later in pairwise(shown))
    after = visit.inbound() or {}
    phase.decoded = after["framesDecoded"] - before["framesDecoded"]
    phase.received = after["framesReceived"] - before["framesReceived"]
    return phase


def judged(measure: Callable[[], T], judge: Callable[[T], None], late_ms: Callable[[T], float]) -> None:
    """`judge` what `measure` has seen. What fails is repeated if the cable was late meanwhile: that is a process too, and a host
    that takes its processors away for a moment makes it one that nobody has asked for."""
    late = 0.0

    def act() -> None:
        nonlocal late
        late = 0.0  # what `measure` itself demands is not excused
        seen = measure()
        late = late_ms(seen)
        judge(seen)

    repeated(act, lambda: f"the cable was {late:.0f} ms late" if late >= IN_TIME_MS else "")
