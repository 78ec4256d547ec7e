"""V4L2 cameras on the fake device: every fault has a name, and none of them hangs the daemon."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import sys
import time

import pytest

from edgecam.capture.capturetime import v4l2_time
from edgecam.capture.process import CaptureProcess
from edgecam.errors import CaptureError
from edgecam.health import Condition, HealthBoard
from edgecam.settings import CameraSettings
from edgecam.supervisor import Backoff, supervise
from tests.capture.watching import Recorder, child_pids, decode, running
from tests.fakes.v4l2 import FakeV4l2


def source(camera: FakeV4l2, **settings: object) -> CaptureProcess:
    values: dict[str, object] = {"device": str(camera.device), "stall_timeout": 1, "start_timeout": 2}
    return CaptureProcess("front", CameraSettings.model_validate(values | settings))


def watch(camera: FakeV4l2, units: int, **settings: object) -> Recorder:
    async def run() -> Recorder:
        sink = Recorder()
        async with running(source(camera, **settings), sink):
            await sink.has_units(units)
        return sink

    return asyncio.run(run())


def fault(camera: FakeV4l2, state: str | None, **settings: object) -> tuple[str, float]:
    """Break a camera that runs (None: pull it out): the error's code, and the seconds until it was known."""

    async def run() -> tuple[str, float]:
        sink, started = Recorder(), 0.0
        try:
            async with running(source(camera, **settings), sink):
                await sink.has_units(5)
                if state is None:
                    camera.unplug()
                else:
                    camera.set(state)
                started = time.monotonic()
                await sink.has_units(10**6)
        except CaptureError as error:
            return error.code, time.monotonic() - started
        raise AssertionError("it goes on as if nothing had happened")

    return asyncio.run(run())


def test_a_raw_camera_is_captured_and_described(raw_camera: FakeV4l2) -> None:
    sink = watch(raw_camera, 30)
    (info,) = sink.infos
    assert info.source == f"v4l2 {raw_camera.device} (Fake Camera)"
    assert (info.pixel_format, info.width, info.height, info.fps) == ("yuyv422", 1280, 720, 30)
    pictures = decode(unit.data for unit in sink.units)
    luma = memoryview(pictures[-1].planes[0])
    stride = pictures[-1].planes[0].line_size
    row = bytes(luma[300 * stride : 300 * stride + 1280])
    assert max(row[row.index(max(row)) :][:32]) > 200  # the white bar
    assert row[1279] > row[640] > row[300]  # the ramp


def test_the_drivers_timestamps_are_used(raw_camera: FakeV4l2) -> None:
    sink = watch(raw_camera, 30)
    gaps = [(after.captured_ns - before.captured_ns) / 1e6 for before, after in itertools.pairwise(sink.units)]
    assert statistics.median(gaps) == pytest.approx(1000 / 30, abs=1)
    assert all(unit.captured_ns % 1000 == 0 for unit in sink.units)  # microseconds, so from the driver


def test_mjpeg_is_taken_when_raw_is_too_slow(usb2_camera: FakeV4l2) -> None:
    sink = watch(usb2_camera, 20)
    assert (sink.infos[0].pixel_format, sink.infos[0].width, sink.infos[0].fps) == ("mjpeg", 1280, 30)
    shown = {memoryview(picture.planes[0])[5000] for picture in decode(unit.data for unit in sink.units)}
    assert len(shown) >= 3


def test_raw_is_taken_where_it_is_fast_enough(usb2_camera: FakeV4l2) -> None:
    (info,) = watch(usb2_camera, 3, quality="low").infos
    assert (info.pixel_format, info.width, info.height, info.fps) == ("yuyv422", 640, 480, 15)


def test_what_the_driver_really_gives_is_reported(usb2_camera: FakeV4l2) -> None:
    (info,) = watch(usb2_camera, 3, input_format="yuyv", stall_timeout=2).infos
    assert (info.pixel_format, info.width, info.height, info.fps) == ("yuyv422", 1280, 720, 10)


def test_a_rate_that_the_camera_does_not_have_is_reached_by_thinning(raw_camera: FakeV4l2) -> None:
    sink = watch(raw_camera, 40, fps=20)
    assert sink.infos[0].fps == 20
    span = (sink.units[-1].captured_ns - sink.units[9].captured_ns) / 1e9
    assert 30 / 20 - 0.1 < span < 30 / 20 + 1  # never faster; a busy machine may lose some


def test_a_format_that_the_camera_does_not_have_is_an_error_with_a_list(raw_camera: FakeV4l2) -> None:
    with pytest.raises(CaptureError, match=r"offers YUYV .*not mjpeg") as caught:
        watch(raw_camera, 1, input_format="mjpeg")
    assert caught.value.code == "camera-format"
    assert "auto" in caught.value.remedy


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("busy", "camera-busy"),
        ("streaming", "camera-busy"),
        ("denied", "camera-denied"),
        ("eio", "camera-io"),
        ("enodev", "camera-absent"),
        ("hang", "camera-stalled"),
        ("hang-open", "camera-stalled"),
    ],
)
def test_a_camera_that_cannot_be_opened_says_why(raw_camera: FakeV4l2, state: str, code: str) -> None:
    raw_camera.set(state)
    started = time.monotonic()
    with pytest.raises(CaptureError) as caught:
        watch(raw_camera, 1)
    assert caught.value.code == code
    assert caught.value.remedy
    assert time.monotonic() - started < 2 + 2
    assert not child_pids()


def test_a_missing_node_costs_no_process(raw_camera: FakeV4l2, monkeypatch: pytest.MonkeyPatch) -> None:
    raw_camera.unplug()
    # A process would fail otherwise than it should: there is no interpreter to start.
    monkeypatch.setattr(sys, "executable", "/no/such/interpreter")
    with pytest.raises(CaptureError, match="does not exist; plug the camera in") as caught:
        watch(raw_camera, 1)
    assert caught.value.code == "camera-absent"


def test_a_node_that_is_no_camera_is_refused(raw_camera: FakeV4l2) -> None:
    raw_camera.device.with_name("plain").write_text("not a device")
    with pytest.raises(CaptureError) as caught:
        watch(raw_camera, 1, device=str(raw_camera.device.with_name("plain")))
    assert caught.value.code == "camera-format"


@pytest.mark.parametrize(
    ("state", "code"),
    [("hang", "camera-stalled"), ("eio", "camera-io"), ("enodev", "camera-absent"), (None, "camera-absent")],
)
def test_a_camera_that_breaks_is_noticed_in_time(raw_camera: FakeV4l2, state: str | None, code: str) -> None:
    found, seconds = fault(raw_camera, state)
    assert found == code  # noticed only by its silence, each would be camera-stalled
    assert seconds < 5
    assert not child_pids()


def test_damaged_pictures_are_skipped_and_the_stream_goes_on(usb2_camera: FakeV4l2) -> None:
    async def run() -> Recorder:
        sink = Recorder()
        async with running(source(usb2_camera, stall_timeout=3), sink):
            await sink.has_units(5)
            usb2_camera.set("corrupt")
            await sink.until(lambda: bool(sink.reports) and sink.reports[-1].frames_dropped >= 3)
            usb2_camera.set("ok")
            await sink.has_units(len(sink.units) + 10)
        return sink

    units = asyncio.run(run()).units
    assert len(decode(unit.data for unit in units)) == len(units)


def test_nothing_but_damaged_pictures_is_an_error(usb2_camera: FakeV4l2) -> None:
    code, seconds = fault(usb2_camera, "corrupt", stall_timeout=5)
    assert code == "camera-io"
    assert seconds < 3


def test_timestamps_of_another_clock_are_not_believed() -> None:
    now_ns = 5 * 10**9
    assert v4l2_time(4_990_000, now_ns) == 4_990_000_000
    assert v4l2_time(1_790_000_000_000_000, now_ns) == now_ns  # wall clock
    assert v4l2_time(0, now_ns) == now_ns


@pytest.mark.parametrize("state", ["unplugged", "hang", "eio"])
def test_under_supervision_the_picture_is_back_soon_after_the_camera(raw_camera: FakeV4l2, state: str) -> None:
    async def run() -> float:
        sink, board, noticed = Recorder(), HealthBoard(), asyncio.Event()
        component = board.component("camera.front")
        board.watch(lambda: noticed.set() if component.state.condition is Condition.WAITING else None)
        camera = source(raw_camera)
        backoff = Backoff(first=0.2, cap=2)
        task = asyncio.create_task(supervise(lambda: camera.run(sink), component, backoff))
        await sink.has_units(5)
        if state == "unplugged":
            raw_camera.unplug()
        else:
            raw_camera.set(state)
        async with asyncio.timeout(10):
            await noticed.wait()
        raw_camera.plug()
        started, count = time.monotonic(), len(sink.units)
        await sink.has_units(count + 1)
        took = time.monotonic() - started
        task.cancel()
        await asyncio.wait([task])
        return took

    assert asyncio.run(run()) < 5
    assert not child_pids()
