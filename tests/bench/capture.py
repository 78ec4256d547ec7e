"""The way from the camera's process to the daemon, and how soon a new one delivers."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from edgecam.capture.process import CaptureProcess
from edgecam.media.types import AccessUnit, CaptureReport, StreamInfo
from edgecam.settings import CameraSettings
from tests.bench.figures import Figure
from tests.bench.scene import CAMERA


class _Timekeeper:
    """Implements media.types.UnitSink: notes when units come."""

    def __init__(self, wanted: int) -> None:
        self.latencies: list[float] = []  # milliseconds from capture to arrival
        self.first: float | None = None  # time.monotonic()
        self.enough = asyncio.Event()
        self._wanted = wanted

    def opened(self, info: StreamInfo) -> None: ...

    def report(self, report: CaptureReport) -> None: ...

    def unit(self, unit: AccessUnit) -> None:
        self.first = self.first or time.monotonic()
        self.latencies.append((unit.received_ns - unit.captured_ns) / 1e6)
        if len(self.latencies) >= self._wanted:
            self.enough.set()


def measure(starts: int, units: int) -> dict[str, Figure]:
    """`starts` capture processes one after the other; `units` access units of the last one."""
    return asyncio.run(_measure(starts, units))


async def _measure(starts: int, units: int) -> dict[str, Figure]:
    source = CaptureProcess("front", CameraSettings.model_validate(CAMERA))
    delays = []
    for index in range(starts):
        keeper = _Timekeeper(units if index == starts - 1 else 1)
        begun = time.monotonic()
        running = asyncio.create_task(source.run(keeper), name="capture")
        enough = asyncio.create_task(keeper.enough.wait(), name="enough")
        await asyncio.wait({running, enough}, return_when=asyncio.FIRST_COMPLETED)
        enough.cancel()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        assert keeper.first is not None
        delays.append(1000 * (keeper.first - begun))
    return {
        "capture_to_daemon_ms": Figure.of("frame made → access unit in the daemon", "ms", keeper.latencies),
        "spawn_to_first_unit_ms": Figure.of("capture process started → first access unit", "ms", delays),
    }
