"""Encoders that failed or were busy, and whether one works again: tried in a process of its own, beside the running camera."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from edgecam.capture import wire
from edgecam.capture.childlink import ChildLink, Limits, Timestamps
from edgecam.capture.config import ChildConfig
from edgecam.capture.spawn import capture_child
from edgecam.errors import CaptureError
from edgecam.media.types import AccessUnit, CaptureReport, StreamInfo

LONGEST = 86_400.0  # seconds until an encoder that fails again and again is tried once more


class LeftOut:
    """Encoders that failed here, why, and when each is due to be tried again: after `interval` seconds, and twice as long
    after every further failure, up to a day. Times are CLOCK_MONOTONIC seconds."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._why: dict[str, str] = {}
        self._failures: dict[str, int] = {}
        self._due: dict[str, float] = {}

    @property
    def reasons(self) -> Mapping[str, str]:
        return self._why

    def add(self, name: str, why: str) -> float:
        """Leave it out from now on; for how many seconds."""
        failures = self._failures[name] = self._failures.get(name, 0) + 1
        wait = min(LONGEST, self.interval * 2.0 ** min(failures - 1, 20))
        self._why[name] = f"{why}; tried again {wait:g} s later"
        self._due[name] = time.monotonic() + wait
        return wait

    def forgive(self, name: str) -> None:
        """It works. What it did before is not forgotten."""
        self._why.pop(name, None)
        self._due.pop(name, None)

    def clear(self) -> None:
        for kept in (self._why, self._failures, self._due):
            kept.clear()

    def next(self) -> tuple[str, float] | None:
        """Which is due first, and when."""
        return min(self._due.items(), key=lambda item: item[1], default=None)


class _FirstUnit:
    """UnitSink that waits for one picture."""

    def __init__(self) -> None:
        self.came: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def opened(self, info: StreamInfo) -> None: ...

    def unit(self, unit: AccessUnit) -> None:
        if not self.came.done():
            self.came.set_result(None)

    def report(self, report: CaptureReport) -> None: ...


async def encodes(camera: str, name: str, config: ChildConfig, info: StreamInfo, limits: Limits) -> bool:
    """Whether that encoder really encodes pictures of that size now. Takes some tenths of a second of one core."""
    trial = replace(
        config, source="test", width=info.width, height=info.height, fps=info.fps, renditions=1, encoder=name,
        skip_encoders={}, picture_check=False, controls={},
    )  # fmt: skip
    try:
        async with capture_child(camera) as (_child, sock):
            return await _gives_a_picture(camera, trial, sock, limits)
    except CaptureError:
        return False


async def _gives_a_picture(camera: str, trial: ChildConfig, sock: socket.socket, limits: Limits) -> bool:
    sink, loop = _FirstUnit(), asyncio.get_running_loop()
    order = wire.encode_json(wire.Kind.CONFIG, asdict(trial))
    _transport, link = await loop.create_unix_connection(lambda: ChildLink(camera, order, limits, sink, Timestamps()), sock=sock)
    try:
        waiting: set[asyncio.Future[Any]] = {link.broken, sink.came}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        return sink.came.done()
    finally:
        link.close()
