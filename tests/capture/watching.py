"""What the capture tests share: a sink that remembers, and eyes for the picture."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import av

from edgecam.capture.process import CaptureProcess
from edgecam.errors import CaptureError
from edgecam.media.types import AccessUnit, CaptureReport, StreamInfo


class Recorder:
    """UnitSink that keeps everything and wakes whoever waits."""

    def __init__(self) -> None:
        self.infos: list[StreamInfo] = []
        self.units: list[AccessUnit] = []
        self.reports: list[CaptureReport] = []
        self.errors: list[CaptureError] = []  # kept by whoever starts a source again and again
        self._changed = asyncio.Event()

    def opened(self, info: StreamInfo) -> None:
        self.infos.append(info)
        self._changed.set()

    def unit(self, unit: AccessUnit) -> None:
        self.units.append(unit)
        self._changed.set()

    def report(self, report: CaptureReport) -> None:
        self.reports.append(report)
        self._changed.set()

    async def until(self, condition: Callable[[], bool], timeout: float = 10) -> None:
        """Wait until something arrives that makes `condition` true."""
        async with asyncio.timeout(timeout):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def has_units(self, count: int, timeout: float = 10) -> None:
        await self.until(lambda: len(self.units) >= count, timeout)


@contextlib.asynccontextmanager
async def running(source: CaptureProcess, sink: Recorder) -> AsyncIterator[asyncio.Task[None]]:
    """`source.run(sink)` as a task, cancelled at the end; if it breaks, waiting for units ends with its error."""
    owner = asyncio.current_task()
    assert owner is not None
    task = asyncio.create_task(source.run(sink), name="capture")
    task.add_done_callback(lambda done: None if done.cancelled() else owner.cancel())
    try:
        yield task
    except asyncio.CancelledError:
        if not task.done():
            raise
        owner.uncancel()
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()


def child_pids() -> set[int]:
    """The processes that this one has started and not yet reaped, zombies included."""
    return {int(pid) for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}


def open_fds() -> set[str]:
    """This process's descriptors and what they are; sockets and pipes count by kind, not by number."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(f"{entry.name} {entry.readlink()}")
    return found


def ends(pid: int, timeout: float) -> bool:
    """Whether a process, ours or not, ends within `timeout` seconds."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], timeout)[0])
    finally:
        os.close(fd)


def decode(units: Iterable[bytes]) -> list[av.VideoFrame]:
    """Every picture of a stream that begins with a keyframe; raises when a unit does not decode."""
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.thread_count = 1
    decoder.options = {"err_detect": "explode"}
    frames = [frame for unit in units for frame in decoder.decode(av.Packet(unit))]
    return frames + decoder.decode(None)


def read_clock_strip(frame: av.VideoFrame) -> int:
    """Milliseconds modulo 2**32 from the clock strip; fails when the inverted row disagrees."""
    plane = frame.planes[0]
    luma = memoryview(plane)
    q = frame.width // 40
    rows = [
        [luma[(q // 2 + row * q) * plane.line_size + q // 2 + bit * q] > 128 for bit in range(32)] for row in (0, 1)
    ]
    assert rows[0] == [not bit for bit in rows[1]]
    return int("".join("1" if bit else "0" for bit in rows[0]), 2)
