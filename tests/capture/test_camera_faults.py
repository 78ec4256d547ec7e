"""The rows of docs/camera-faults.md that are of cameras and their process: each breaks one, under supervision as in the daemon, and
measures how soon there are pictures again. Those of encoders are in test_hardware_encoder.py."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgecam.app.cameras import CAMERA_BACKOFF
from edgecam.capture.process import CaptureProcess
from edgecam.health import Condition, HealthBoard
from edgecam.settings import CameraSettings
from edgecam.supervisor import supervise
from tests.capture.faults import FaultTable
from tests.capture.watching import Recorder, child_pids
from tests.fakes.v4l2 import FakeV4l2, write_jpegs
from tests.harness.daemons import Daemon

Change = Callable[[], None]


def recovery(source: CaptureProcess, *, breaks: Change | None, code: str, mends: Change | None) -> float:
    """Seconds from when it is mended, or broken if nobody mends it, to the first picture after. `breaks`: None for a camera that is
    broken from the start. The fault must be known by `code` in between."""

    async def run() -> float:
        sink, board, known = Recorder(), HealthBoard(), asyncio.Event()
        component = board.component("camera.front")
        codes: set[str] = set()

        def look() -> None:
            if component.state.condition is Condition.WAITING:
                codes.add(component.state.code)
                known.set()

        board.watch(look)
        task = asyncio.create_task(supervise(lambda: source.run(sink), component, CAMERA_BACKOFF))
        try:
            if breaks is not None:
                await sink.has_units(5)
                breaks()
            broken = time.monotonic()
            async with asyncio.timeout(15):
                await known.wait()
            assert codes == {code}
            if mends is not None:
                mends()
                broken = time.monotonic()
            count = len(sink.units)
            await sink.has_units(count + 1)
            return time.monotonic() - broken
        finally:
            task.cancel()
            await asyncio.wait([task])

    took = asyncio.run(run())
    assert not child_pids()
    return took


def front(camera: FakeV4l2, **settings: object) -> CaptureProcess:
    return CaptureProcess("front", CameraSettings.model_validate({"device": str(camera.device), "quality": "low", **settings}))


@pytest.mark.parametrize(
    ("state", "code"),
    [("hang-open", "camera-stalled"), ("denied", "camera-denied"), ("busy", "camera-busy"), ("streaming", "camera-busy")],
)
def test_a_camera_that_cannot_be_opened_at_first(raw_camera: FakeV4l2, faults: FaultTable, state: str, code: str) -> None:
    raw_camera.set(state)
    faults.measured(state, recovery(front(raw_camera), breaks=None, code=code, mends=raw_camera.plug), within=3)


@pytest.mark.parametrize(("state", "code"), [("hang", "camera-stalled"), ("eio", "camera-io"), ("enodev", "camera-absent")])
def test_a_camera_that_breaks_while_it_runs(raw_camera: FakeV4l2, faults: FaultTable, state: str, code: str) -> None:
    took = recovery(front(raw_camera), breaks=lambda: raw_camera.set(state), code=code, mends=raw_camera.plug)
    faults.measured(state, took, within=3)


def test_a_camera_that_is_pulled_out(raw_camera: FakeV4l2, faults: FaultTable) -> None:
    took = recovery(front(raw_camera), breaks=raw_camera.unplug, code="camera-absent", mends=raw_camera.plug)
    faults.measured("unplugged", took, within=3)


def test_a_camera_of_which_every_picture_is_damaged(usb2_camera: FakeV4l2, faults: FaultTable) -> None:
    source = front(usb2_camera, input_format="mjpeg")
    took = recovery(source, breaks=lambda: usb2_camera.set("corrupt"), code="camera-io", mends=usb2_camera.plug)
    faults.measured("corrupt", took, within=3)


def test_a_camera_that_does_not_have_the_format(
    raw_camera: FakeV4l2, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: FaultTable
) -> None:
    monkeypatch.setenv("FAKE_V4L2_JPEGS", str(tmp_path))
    source = front(raw_camera, input_format="mjpeg")
    took = recovery(source, breaks=None, code="camera-format", mends=lambda: write_jpegs(tmp_path, 640, 480, (40, 200)))
    faults.measured("wrong format", took, within=3)


def child() -> int:
    (pid,) = child_pids()
    return pid


@pytest.mark.parametrize(
    ("name", "strike", "code"),
    [
        ("killed for memory", lambda: os.kill(child(), signal.SIGKILL), "capture-crashed"),
        ("SIGSEGV", lambda: os.kill(child(), signal.SIGSEGV), "capture-crashed"),
        ("stopped", lambda: os.kill(child(), signal.SIGSTOP), "camera-stalled"),
    ],
)
def test_a_capture_process_that_is_struck_down(
    raw_camera: FakeV4l2, faults: FaultTable, name: str, strike: Change, code: str
) -> None:
    faults.measured(name, recovery(front(raw_camera), breaks=strike, code=code, mends=None), within=4)


def test_a_capture_process_out_of_memory(raw_camera: FakeV4l2, faults: FaultTable) -> None:
    async def run() -> tuple[float, set[str]]:
        sink, board = Recorder(), HealthBoard()
        component, codes = board.component("camera.front"), set[str]()
        board.watch(lambda: codes.add(component.state.code) if component.state.condition is Condition.WAITING else None)
        source, starved = front(raw_camera), [0.0]

        async def begin() -> None:
            if not starved[0]:  # the first process gets no more memory than it has already, and then opens camera and encoder
                resource.prlimit(child(), resource.RLIMIT_AS, (1 << 20, 1 << 20))
                starved[0] = time.monotonic()

        task = asyncio.create_task(supervise(lambda: source.run(sink, begin), component, CAMERA_BACKOFF))
        await sink.has_units(1)
        took = time.monotonic() - starved[0]
        task.cancel()
        await asyncio.wait([task])
        return took, codes

    took, codes = asyncio.run(run())
    assert codes
    assert codes <= {"capture-crashed", "encoder-failed", "camera-io"}
    faults.measured("out of memory", took, within=4)


def test_pictures_that_come_much_too_slowly_and_pictures_that_show_nothing(
    raw_camera: FakeV4l2, tmp_path: Path, faults: FaultTable
) -> None:
    """Nothing is opened anew for these but a frozen sensor (test_frame_truth.py): viewers see what the camera gives, and are told."""
    config = {"camera": {"front": {"device": str(raw_camera.device), "quality": "low"}}}
    with Daemon(config, tmp_path / "state", env=raw_camera.env) as daemon:
        daemon.wait_camera("front", condition="running")
        for state, code, known in (("slow", "camera-slow", 12), ("black", "black-picture", 12), ("grey", "no-signal", 12)):
            raw_camera.set(state)
            daemon.wait_camera("front", condition="degraded", code=code, within=known)
            raw_camera.plug()
            mended = time.monotonic()
            daemon.wait_camera("front", condition="running", within=10)
            faults.measured(f"{state}, until it is said to be over", time.monotonic() - mended, within=9)
        assert daemon.camera("front")["restarts"] == 0
