"""What is said of a camera that gives pictures: that it runs, or that there is nothing to see in them."""

from __future__ import annotations

import time
from collections.abc import Callable

from edgecam.errors import CaptureError
from edgecam.health import Component, Condition

FROZEN = "frozen-picture"
SLOW = "camera-slow"
FAULTS = {
    SLOW: "the camera gives less than a quarter of the pictures that it agreed to: look at its hub, its cable, its light",
    FROZEN: "the camera gives the same picture again and again",
    "black-picture": "the picture is black: the lens is covered, or there is no light at all",
    "no-signal": "the picture is of one colour or made of bars: what feeds the camera has no signal",
}
# Seconds from one attempt to the next, the first from when it was known. Opening anew mends a sensor that hangs, and nothing else.
REOPEN_AFTER = (5.0, 60.0, 300.0, 900.0)


class Sight:
    """Keeps the camera's line on the board while there are pictures. `reopen` is called with the reason when a frozen camera is
    to be opened anew. What was wrong before that stays on the board until the new pictures are known to be good."""

    def __init__(self, name: str, component: Component, reopen: Callable[[CaptureError], None]) -> None:
        self.fault = ""
        self._name = name
        self._component = component
        self._reopen = reopen
        self._attempts = 0
        self._due = 0.0  # of the next attempt, CLOCK_MONOTONIC seconds

    def pictures(self) -> None:
        """There are some, after there were none."""
        state = self._component.state
        if state.condition is not Condition.RUNNING and not (state.condition is Condition.DEGRADED and state.code in FAULTS):
            self._say()

    def told(self, picture: str) -> None:
        """What the capture process makes of them: a fault, `good`, `unknown`, or nothing."""
        before = self.fault
        if picture in FAULTS:
            self.fault = picture
        elif picture != "unknown":
            self.fault, self._attempts = "", 0
        if self.fault != before and self._component.state.ready:
            self._say()
        if picture == FROZEN:
            self._mend(time.monotonic(), begins=before != FROZEN)

    def forget(self) -> None:
        """It was closed: what comes next may be another scene."""
        self.fault, self._attempts = "", 0

    def _say(self) -> None:
        if self.fault:
            self._component.degraded(self.fault, FAULTS[self.fault])
        else:
            self._component.running()

    def _mend(self, now: float, *, begins: bool) -> None:
        if begins and not self._attempts:
            self._due = now + REOPEN_AFTER[0]
        if now < self._due:
            return
        self._attempts += 1
        self._due = now + REOPEN_AFTER[min(self._attempts, len(REOPEN_AFTER) - 1)]
        remedy = "it is opened anew; set picture_check = false if this camera looks at a still picture"
        self._reopen(CaptureError(f"camera {self._name}: {FAULTS[FROZEN]}", remedy=remedy, code=FROZEN))
