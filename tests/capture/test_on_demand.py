"""capture = "on-demand": the device is closed while nobody watches, and open as soon as somebody does. Real daemon, real viewers."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgecam.health import Condition, HealthBoard
from edgecam.media.pipeline import Pipeline
from edgecam.media.types import AccessUnit, Begin, EncoderDemand, UnitSink
from edgecam.settings import CameraSettings
from tests.fakes.v4l2 import FakeV4l2
from tests.harness.daemons import Daemon
from tests.harness.holders import holders
from tests.harness.waiting import until
from tests.peers.background import Watching

LINGER = 0.5  # seconds
FIRST_PICTURE = 1.0  # seconds, the quickest of a few on a machine that is busy with other tests; tests.bench measures it


@pytest.fixture
def daemon(raw_camera: FakeV4l2, tmp_path: Path) -> Iterator[Daemon]:
    camera = {"device": str(raw_camera.device), "quality": "low", "input_format": "yuyv", "capture": "on-demand", "linger": LINGER}
    with Daemon({"camera": {"front": camera}}, tmp_path / "state", env=raw_camera.env) as daemon:
        daemon.wait_camera("front", condition="resting", code="on-demand")
        yield daemon
        daemon.assert_quiet()


def test_no_process_holds_the_device_but_while_somebody_watches(raw_camera: FakeV4l2, daemon: Daemon) -> None:
    assert daemon.get("/readyz").status == 200
    (standing_by,) = daemon.capture_processes
    took = []
    for _ in range(3):
        assert holders(raw_camera.device) == set()
        assert (daemon.camera("front")["device"], daemon.camera("front")["last_frame_age_s"]) == ("closed", None)
        (standing_by,) = until(lambda: daemon.capture_processes, within=5, what="a process that stands by")
        asked = time.monotonic()
        with Watching(daemon.url, "front") as viewer:
            took.append(time.monotonic() - asked)
            assert holders(raw_camera.device) == {standing_by}
            assert daemon.camera("front")["condition"] == "running"
            viewer.wait_frames(20, within=10)
        until(lambda: not holders(raw_camera.device), within=LINGER + 5, what="a closed device")
        daemon.wait_camera("front", condition="resting", code="on-demand", device="closed", within=5)
    assert min(took) < FIRST_PICTURE, took
    assert daemon.get("/readyz").status == 200


def test_a_camera_that_is_unplugged_while_it_rests_is_missed_at_once_and_found_again(raw_camera: FakeV4l2, daemon: Daemon) -> None:
    raw_camera.unplug()
    daemon.wait_camera("front", condition="waiting", code="camera-absent", within=5)
    assert daemon.get("/readyz").status == 503
    raw_camera.plug()
    daemon.wait_camera("front", condition="resting", code="on-demand", within=5)


def test_a_camera_that_did_not_open_when_it_was_needed_is_not_said_to_rest(raw_camera: FakeV4l2, daemon: Daemon) -> None:
    raw_camera.set("denied")
    assert daemon.get("/api/v1/cameras/front/snapshot.jpg").status == 503
    daemon.wait_camera("front", condition="waiting", code="camera-denied", within=5)
    until(lambda: not daemon.camera("front")["open"] and daemon.capture_processes, within=5, what="a process that stands by")
    assert daemon.camera("front")["code"] == "camera-denied", "nobody has seen it work since"
    raw_camera.set("ok")
    until(lambda: daemon.get("/api/v1/cameras/front/snapshot.jpg").status == 200, within=10, what="a snapshot")
    daemon.wait_camera("front", condition="resting", code="on-demand", within=5)


def test_a_process_that_dies_while_it_stands_by_is_replaced(raw_camera: FakeV4l2, daemon: Daemon) -> None:
    (before,) = daemon.capture_processes
    os.kill(before, signal.SIGKILL)
    until(lambda: daemon.capture_processes not in ([], [before]), within=10, what="another process")
    daemon.wait_camera("front", condition="resting", code="on-demand", within=5)
    assert holders(raw_camera.device) == set()


class Source:
    """Opens when it is told to, and says so. Implements VideoSource."""

    held_by: int | None = None

    def __init__(self) -> None:
        self.open = False
        self.changed = asyncio.Event()

    def apply(self, demand: EncoderDemand) -> None:
        pass

    async def run(self, sink: UnitSink, begin: Begin | None = None) -> None:
        if begin is not None:
            await begin()
        self.open = True
        now = time.monotonic_ns()
        sink.unit(AccessUnit(b"\0\0\0\1\x65", True, now * 9 // 100_000, now, now))
        self.changed.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.open = False
            self.changed.set()

    async def becomes(self, *, open: bool) -> None:  # noqa: A002
        async with asyncio.timeout(5):
            while self.open != open:
                self.changed.clear()
                await self.changed.wait()


def test_whoever_takes_a_place_keeps_it_open_and_the_last_one_to_leave_closes_it_after_the_linger() -> None:
    async def main() -> None:
        source, board = Source(), HealthBoard()
        settings = CameraSettings(source="test", capture="on-demand", linger=0.2)
        pipeline = Pipeline("front", settings, source, board.component("camera.front"))
        running = asyncio.create_task(pipeline.run())
        viewer, publication = object(), object()
        await asyncio.sleep(0)
        assert not source.open
        pipeline.prepare(viewer)
        await source.becomes(open=True)
        assert pipeline.component.state.condition is Condition.RUNNING
        pipeline.prepare(publication)
        pipeline.release(viewer)
        feed = pipeline.attach(lambda _unit: None)
        pipeline.release(publication)
        await asyncio.sleep(0.3)
        assert source.open, "a feed is somebody too"
        left = time.monotonic()
        feed.close()
        await source.becomes(open=False)
        assert time.monotonic() - left >= 0.19
        assert pipeline.last_keyframe is not None, "that it was seen is no secret"
        pipeline.prepare(viewer)
        await source.becomes(open=True)
        running.cancel()
        await asyncio.wait([running])
        assert not source.open

    asyncio.run(main())
