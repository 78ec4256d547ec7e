"""What systemd is told of the daemon's health: READY, STATUS, and the watchdog's food while every part turns."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path

import structlog

from edgecam.health import HealthBoard
from edgecam.notify import ServiceNotifier
from edgecam.watchdog.liveness import Liveness

log = structlog.get_logger(__name__)

READY_WITHIN = 20.0  # seconds after the start until systemd is told READY, whatever still starts
TASKS_TOLD = 60
LOOK = 2.0  # seconds between two looks at whether every part turns


async def report_to_systemd(board: HealthBoard, liveness: Liveness, notifier: ServiceNotifier) -> None:
    """READY once every component runs or is in a declared wait, but not later than READY_WITHIN: one slow camera must
    not have the others' daemon killed. STATUS whenever health changes. WATCHDOG in time, while every part turns; once one
    does not, systemd is asked to restart the service at once."""
    changed = asyncio.Event()
    board.watch(changed.set)
    changed.set()
    announced = False
    period = min(LOOK, notifier.watchdog_interval or LOOK)
    interval = notifier.watchdog_interval or period
    look_at = feed_at = time.monotonic()
    stuck, told = list[str](), False
    while True:
        wake_at = look_at if announced else min(look_at, board.started + READY_WITHIN)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, wake_at - time.monotonic())):
                await changed.wait()
        changed.clear()
        now = time.monotonic()
        if now >= look_at:
            look_at = now + period
            stuck = liveness.look(now, period)
        notifier.status(board.summary)  # before systemd ends it, for whoever asks why
        if stuck and not told:
            log.error("watchdog.withheld", stuck=stuck, restarted=notifier.watchdog_interval is not None, tasks=_tasks())
            notifier.trigger()
        elif not stuck and now >= feed_at and notifier.watchdog():
            feed_at = now + interval - period / 2
        told = bool(stuck)
        if not announced and (board.settled or now >= board.started + READY_WITHIN):
            announced = True
            notifier.ready()
            log.info("daemon.ready", summary=board.summary)


def _tasks() -> list[str]:
    """Where the tasks stand, for whoever looks for the fault: a stack at the end shows none of those that wait."""
    found = []
    for task in asyncio.all_tasks():
        (frame,) = task.get_stack(limit=1) or (None,)
        where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}" if frame is not None else "nowhere"
        found.append(f"{task.get_name()} at {where}")
    return sorted(found)[:TASKS_TOLD]
