"""The daemon's vital signs, noted in the black box each minute: what led up to a death is seldom logged."""

from __future__ import annotations

import asyncio
import resource
import threading
import time
from pathlib import Path

from edgecam.blackbox.box import BlackBox
from edgecam.web.context import WebContext

EVERY = 60.0  # seconds
PAGE_KB = resource.getpagesize() // 1024


async def note_vitals(box: BlackBox, context: WebContext) -> None:
    """For ever."""
    while True:
        await asyncio.sleep(EVERY)
        lateness = await _lateness()
        box.note("vitals", **vitals(context), loop_ms=round(lateness * 1000, 1))


async def _lateness() -> float:
    """Seconds that the event loop takes to come round."""
    before = time.monotonic()
    await asyncio.sleep(0)
    return time.monotonic() - before


def vitals(context: WebContext) -> dict[str, object]:
    """Memory in kB, processor time in seconds since the start, open files, and of each camera pictures and viewers."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "rss_kb": int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE_KB,
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
        "files": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "threads": threading.active_count(),
        "tasks": len(asyncio.all_tasks()),
        "not_ready": context.board.reasons,
        "cameras": {
            name: {"units": p.units, "viewers": p.subscribers, "starts": p.starts} for name, p in context.pipelines.items()
        },
    }
