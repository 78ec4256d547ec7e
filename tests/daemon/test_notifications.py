"""When systemd is told READY and when its watchdog is fed: the real reporter, board, pipelines and socket."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import structlog

from edgecam.health import HealthBoard
from edgecam.media import pipeline as pipeline_module
from edgecam.media.pipeline import Pipeline
from edgecam.media.types import AccessUnit, Begin, EncoderDemand, UnitSink
from edgecam.notify import ServiceNotifier
from edgecam.settings import CameraSettings
from edgecam.supervisor import background
from edgecam.watchdog import Liveness, report_to_systemd, service


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "100000")
        yield listener


def received(systemd: socket.socket) -> list[str]:
    lines = []
    while True:
        try:
            lines.append(systemd.recv(4096).decode())
        except BlockingIOError:
            return lines


class Tap:
    """A camera that gives pictures while it is `open`, and never says that it stopped."""

    def __init__(self) -> None:
        self.open = True

    def apply(self, demand: EncoderDemand) -> None:
        pass

    held_by: int | None = None

    async def run(self, sink: UnitSink, begin: Begin | None = None) -> None:
        while True:
            if self.open:
                now = time.monotonic_ns()
                sink.unit(AccessUnit(b"\0\0\0\1\x65", True, now * 9 // 100_000, now, now))
            await asyncio.sleep(0.02)


@asynccontextmanager
async def reporting(board: HealthBoard, *pipelines: Pipeline) -> AsyncIterator[None]:
    with ServiceNotifier() as notifier:
        liveness = Liveness(board, {pipeline.name: pipeline for pipeline in pipelines}, None)
        async with background(("reporter", partial(report_to_systemd, board, liveness, notifier))):
            yield


def test_ready_does_not_wait_for_ever_for_one_slow_camera(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "READY_WITHIN", 0.5)

    async def main() -> None:
        board = HealthBoard()
        board.component("camera.front").running()
        slow = board.component("camera.slow")
        async with reporting(board):
            await asyncio.sleep(0.25)
            assert "READY=1" not in (early := received(systemd))
            assert any("camera.slow: starting" in line for line in early)
            await asyncio.sleep(0.5)
            assert received(systemd).count("READY=1") == 1
            slow.running()
            await asyncio.sleep(0.1)
            after = received(systemd)
            assert "STATUS=all components running" in after
            assert "READY=1" not in after

    asyncio.run(main())


def test_the_watchdog_is_fed_only_while_running_cameras_give_pictures(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_module, "STUCK_AFTER", 0.0)

    async def main() -> None:
        board, tap = HealthBoard(), Tap()
        settings = CameraSettings(source="test", stall_timeout=0.5)
        camera = Pipeline("front", settings, tap, board.component("camera.front"))
        async with background(("camera", camera.run)), reporting(board, camera):
            await asyncio.sleep(0.3)
            assert received(systemd).count("WATCHDOG=1") >= 3
            tap.open = False
            await asyncio.sleep(0.35)
            received(systemd)  # who is not read from is soon not written to
            await asyncio.sleep(0.35)
            assert received(systemd).count("WATCHDOG=trigger") == 1
            await asyncio.sleep(0.5)
            assert "WATCHDOG=1" not in received(systemd)
            assert "supervisor-stuck" in board.summary
            camera.component.waiting("camera-stalled", "no pictures")  # a declared wait is no reason to be killed
            await asyncio.sleep(0.2)
            assert "WATCHDOG=1" in received(systemd)
            tap.open = True
            await asyncio.sleep(0.2)
            assert "WATCHDOG=1" in received(systemd)

    with structlog.testing.capture_logs() as events:
        asyncio.run(main())
    (said,) = [event for event in events if event["log_level"] == "error"]
    assert said["event"] == "watchdog.withheld"
    assert said["stuck"] == ["camera front is said to run and gives no pictures"]
    assert any(task.startswith("camera at ") for task in said["tasks"])


def test_a_camera_with_seconds_between_its_pictures_is_not_stuck() -> None:
    camera = Pipeline("slow", CameraSettings(source="test", fps=0.2), Tap(), HealthBoard().component("camera.slow"))
    now = time.monotonic_ns()
    camera.unit(AccessUnit(b"", True, 0, now, now - int(17e9)))
    assert not camera.stuck
    camera.last_unit_ns = now - int(18e9)
    assert camera.stuck
