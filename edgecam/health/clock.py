"""Is the wall clock right? Certificates, tokens and minted credentials depend on it, and a Raspberry Pi has no clock of its own."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import time
from datetime import UTC, datetime
from pathlib import Path

import structlog

from edgecam.health.board import Component

log = structlog.get_logger(__name__)

LOOK = 5.0  # seconds between two looks, which cost microseconds
STEP = 1.0  # seconds by which a clock that is only corrected does not jump
EARLIEST = datetime(2026, 1, 1, tzinfo=UTC).timestamp()  # this was written later: a clock that says less is wrong
SET_THE_CLOCK = "systemctl enable --now systemd-timesyncd sets it"

TIMEX_BYTES = 256  # struct timex has 208 on 64-bit machines; zeros ask and change nothing
TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
# What systemd-timesyncd touches once it has set the clock; for sandboxes that forbid adjtimex, as ours does.
TIMESYNC = Path("/run/systemd/timesync")


def synchronised() -> bool | None:
    """Whether the kernel's clock is kept right by somebody (NTP); None where nobody can tell. Takes microseconds."""
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    if state != -1:
        return bool(state != TIME_ERROR)
    if ctypes.get_errno() not in {errno.EPERM, errno.ENOSYS} or not TIMESYNC.is_dir():
        return None
    return (TIMESYNC / "synchronized").exists()


class ClockWatch:
    """Keeps the board's line of the clock. `run` looks for ever."""

    def __init__(self, component: Component) -> None:
        self._component = component
        self._offset = _offset()

    async def run(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(LOOK)

    def look(self) -> None:
        """Report what is so now."""
        offset = _offset()
        if abs(offset - self._offset) > STEP:
            log.warning("clock.stepped", seconds=round(offset - self._offset, 1))
        self._offset = offset
        self._report(synchronised())

    def _report(self, sync: bool | None) -> None:
        component, now = self._component, time.time()
        if now < EARLIEST:
            said = time.strftime("%F %R", time.gmtime(now))
            component.degraded("clock-wrong", f"the clock says {said} UTC: no certificate and no token is valid then; {SET_THE_CLOCK}")
        elif sync is None:
            component.resting("clock-unwatched", "whether the clock is right cannot be told here")
        elif sync:
            component.running("synchronised")
        else:
            detail = f"nobody keeps the clock right: certificates and tokens may be refused; {SET_THE_CLOCK}"
            component.degraded("clock-unsynchronised", detail)


def _offset() -> float:
    """Of the wall clock to the time since boot, sleep included: a clock that runs right keeps it."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
