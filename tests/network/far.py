"""What a viewer behind the bad link sees, second by second: the picture, the cable's queue, the daemon's estimate."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.harness.browser import Visit
from tests.network.cable import Cable
from tests.network.hosts import RemoteDaemon

INTERVAL = 0.1  # seconds between two looks
IN_TIME_MS = 20  # a cable that is later than that is not the one that was asked for
ATTEMPTS = 3
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


def undisturbed(measure: Callable[[], tuple[Phase, ...]]) -> tuple[Phase, ...]:
    """What `measure` has seen while the cable was in time. That is a process too: on a host that takes its processors
    away for a moment it is late, and what was measured then is repeated."""
    for attempt in range(1, ATTEMPTS + 1):
        phases = measure()
        late_ms = max(phase.late_ms for phase in phases)
        if late_ms < IN_TIME_MS:
            return phases
        print(f"the cable was {late_ms:.0f} ms late (attempt {attempt} of {ATTEMPTS})")
    raise AssertionError("the cable was late each time: this machine is too busy to tell")
