"""What is done about a camera that gives no picture, step by step: reopen, restart its process, exit for systemd, reboot.

A camera is always reopened in a fresh process: that takes 0.2 seconds and leaves nothing of a broken driver behind.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from edgecam.errors import FatalError, RetryableError
from edgecam.health.memory import LadderMemory
from edgecam.settings.health import HealthSettings

log = structlog.get_logger(__name__)

# A camera that is there and gives nothing. All other codes are declared waits for something outside: no camera, somebody
# else's, forbidden, misconfigured; no restart and no reboot mends those.
CLIMBING = frozenset({"camera-stalled", "camera-io", "capture-crashed", "encoder-failed", "frozen-picture"})
KILLED = frozenset({"camera-stalled", "capture-crashed"})  # the process did not end by itself
PATIENT_AFTER = 10  # failures in a row: what has not helped ten times is tried less often
PATIENCE = 10.0  # seconds between those attempts
LEAST_ATTEMPTS = 5  # before the daemon ends, however short `exit_after` is
PROVEN_AFTER = 60.0  # seconds of pictures after which earlier exits are forgotten


class Step(enum.StrEnum):
    """In this order."""

    REOPEN = "reopen"
    RESTART = "restart"
    EXIT = "exit"
    REBOOT = "reboot"


class ExhaustedError(FatalError):
    """Nothing in this process helps a camera: systemd is to start the daemon anew."""

    code = "camera-exhausted"
    exit_code = 75  # EX_TEMPFAIL of sysexits.h


class RebootError(ExhaustedError):
    """Nor did that help: whoever has installed the drop-in of docs/health.md has the machine rebooted."""

    exit_code = 79


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a ladder must know of the rest. `started_by_systemd`: somebody starts the daemon anew when it ends. `units`: of this
    camera, so far. `others_watched`: whether somebody watches another camera, whom an exit would cut off."""

    started_by_systemd: bool
    units: Callable[[], int]
    others_watched: Callable[[], bool]


class Ladder:
    """One camera's. `failed` is called after every attempt."""

    def __init__(self, camera: str, settings: HealthSettings, memory: LadderMemory, around: Surroundings) -> None:
        self.camera = camera
        self.settings = settings
        self._memory = memory
        self._around = around
        self._steps = {Step.REOPEN: 0, Step.RESTART: 0}
        self._in_row = 0
        self._since = 0.0  # when the row began, CLOCK_MONOTONIC seconds
        self._failed_at = time.monotonic()
        self._units = 0

    @property
    def steps(self) -> dict[Step, int]:
        """How often each was taken: of this process, exits and reboots of all times."""
        ever = {step: self._memory.count(self.camera, f"{step}s") for step in (Step.EXIT, Step.REBOOT)}
        return {**self._steps, **ever}

    @property
    def next(self) -> str:
        """What comes next, in words; empty while there is nothing to climb for."""
        if not self._in_row:
            return ""
        last = self._last_step()
        if last is None:
            return "reopened for ever: the exits are used up, or nobody would start the daemon anew"
        left = self._since + self.settings.exit_after - time.monotonic()
        if self._around.others_watched():
            return f"{last} once nobody watches another camera"
        return f"{last} in {max(0.0, left):.0f} s, unless a picture comes"

    def failed(self, reason: RetryableError) -> float:
        """The camera broke, or did not open. Returns how long to wait at least, seconds. Raises ExhaustedError."""
        now, units = time.monotonic(), self._around.units()
        if units != self._units:
            self._in_row = 0
            if now - self._failed_at >= PROVEN_AFTER:
                self._forget_exits()
        self._units, self._failed_at = units, now
        if reason.code not in CLIMBING:
            self._in_row = 0
            return 0.0
        self._in_row += 1
        if self._in_row == 1:
            self._since = now
        self._take(Step.RESTART if reason.code in KILLED else Step.REOPEN, reason)
        if self._in_row >= LEAST_ATTEMPTS and now - self._since >= self.settings.exit_after:
            self._leave(reason)
        return PATIENCE if self._in_row >= PATIENT_AFTER else 0.0

    def _take(self, step: Step, reason: RetryableError) -> None:
        self._steps[step] += 1
        log.debug("camera.escalated", camera=self.camera, step=step, in_row=self._in_row, code=reason.code)

    def _last_step(self) -> Step | None:
        """What is left beyond reopening."""
        settings = self.settings
        if not settings.exit_after or not self._around.started_by_systemd:
            return None
        if self._memory.count(self.camera, "exits_in_row") < settings.exits:
            return Step.EXIT
        if settings.reboot and self._memory.since_reboot >= settings.reboot_every:
            return Step.REBOOT
        return None

    def _leave(self, reason: RetryableError) -> None:
        step = self._last_step()
        if step is None or self._around.others_watched():
            return
        memory, camera = self._memory, self.camera
        memory.set(camera, f"{step}s", memory.count(camera, f"{step}s") + 1)
        if step is Step.EXIT:
            memory.set(camera, "exits_in_row", memory.count(camera, "exits_in_row") + 1)
        else:
            memory.rebooted()
        if not memory.save():
            return  # what cannot be counted could go on for ever
        minutes = (time.monotonic() - self._since) / 60
        log.error("camera.escalated", camera=camera, step=step, in_row=self._in_row, code=reason.code)
        said = f"camera {camera} is there and gave no picture in {minutes:.0f} minutes and {self._in_row} attempts: {reason.message}"
        if step is Step.EXIT:
            raise ExhaustedError(said, remedy="the daemon ends, for systemd to start it anew")
        raise RebootError(said, remedy="restarting the daemon did not help either; a reboot is asked for")

    def _forget_exits(self) -> None:
        if self._memory.count(self.camera, "exits_in_row"):
            self._memory.set(self.camera, "exits_in_row", 0)
            self._memory.save()
