"""Cameras that encode H.264 themselves, NV12, names instead of nodes, and controls: on the fake device."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import pytest

from edgecam.capture import devices
from edgecam.capture.process import CaptureProcess
from edgecam.errors import CaptureError
from edgecam.media import h264
from edgecam.media.types import EncoderDemand
from edgecam.settings import CameraSettings
from tests.capture.conftest import plugged
from tests.capture.test_v4l2 import source, watch
from tests.capture.watching import Recorder, decode, running
from tests.fakes.v4l2 import FakeV4l2

BRIGHTNESS, FORCE_KEY_FRAME, BITRATE = "00980900", "009909e5", "009909cf"


def write_units(directory: Path, *, b_frames: int = 0) -> list[bytes]:
    """90 units of which only the first is a keyframe, SPS and PPS in front: 3 s of a camera that encodes."""
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt, encoder.gop_size = 1280, 720, "yuv420p", 1000
    encoder.time_base, encoder.framerate, encoder.thread_count = Fraction(1, 30), Fraction(30), 1
    encoder.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "x264-params": f"repeat-headers=1:slices=1:scenecut=0:bframes={b_frames}:b-adapt=0",
    }
    frame, units = av.VideoFrame(1280, 720, "yuv420p"), []
    for number in range(90):
        for plane, value in zip(frame.planes, (16 + 2 * number, 128, 128), strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        frame.pts = number
        units += [bytes(packet) for packet in encoder.encode(frame)]
    units += [bytes(packet) for packet in encoder.encode(None)]
    for number, unit in enumerate(units):
        (directory / f"{number}.h264").write_bytes(unit)
    return units


@pytest.fixture(params=["obeys", "deaf"])
def encoding_camera(
    fake_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> FakeV4l2:
    write_units(tmp_path)
    extra = {"FAKE_V4L2_H264": str(tmp_path), "FAKE_V4L2_LOG": str(tmp_path / "log")}
    if request.param == "deaf":
        extra["FAKE_V4L2_H264_DEAF"] = "1"
    return plugged(FakeV4l2(fake_library, tmp_path / "video0", extra), monkeypatch)


def test_h264_with_b_frames_is_decoded_and_encoded_here(fake_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_units(tmp_path, b_frames=2)
    reordering = plugged(FakeV4l2(fake_library, tmp_path / "video0", {"FAKE_V4L2_H264": str(tmp_path)}), monkeypatch)

    async def run() -> Recorder:
        sink, camera = Recorder(), source(reordering, stall_timeout=3)
        with pytest.raises(CaptureError, match="it has B-frames"):
            await camera.run(sink)
        async with running(camera, sink):
            await sink.has_units(len(sink.units) + 20)
        return sink

    sink = asyncio.run(run())
    assert sink.infos[-1].encoder == "libx264"
    assert not any(h264.is_bidirectional(unit.data) for unit in sink.units[-20:])


def log_of(camera: FakeV4l2) -> list[tuple[str, int]]:
    path = camera.device.with_name("log")
    lines = path.read_text().splitlines() if path.exists() else []
    return [(name, int(value)) for name, value in (line.split() for line in lines)]


def test_h264_of_the_camera_arrives_byte_for_byte_with_the_drivers_times(encoding_camera: FakeV4l2) -> None:
    made = [path.read_bytes() for path in sorted(encoding_camera.device.parent.glob("*.h264"), key=lambda path: int(path.stem))]
    sink = watch(encoding_camera, 60)
    (info,) = sink.infos
    assert (info.encoder, info.pixel_format, info.width, info.height, info.fps) == ("passed through", "h264", 1280, 720, 30)
    first = made.index(sink.units[0].data)
    assert [unit.data for unit in sink.units[:60]] == [made[(first + number) % 90] for number in range(60)]
    times = [unit.captured_ns for unit in sink.units]
    assert times == sorted(set(times))
    assert all(time_ns % 1000 == 0 for time_ns in times)  # microseconds, so from the driver
    assert statistics.median(unit.received_ns - unit.captured_ns for unit in sink.units) < 10e6


def test_a_keyframe_is_made_on_request_where_the_camera_can_and_else_the_status_says_so(encoding_camera: FakeV4l2) -> None:
    obeys = "FAKE_V4L2_H264_DEAF" not in encoding_camera.extra

    async def run() -> tuple[Recorder, float]:
        sink, camera = Recorder(), source(encoding_camera)
        async with running(camera, sink):
            await sink.has_units(10)
            asked, count = time.monotonic(), len(sink.units)
            camera.apply(EncoderDemand(700_000, keyframe=True))
            await sink.until(lambda: any(unit.keyframe for unit in sink.units[count:]))
            return sink, time.monotonic() - asked

    sink, took = asyncio.run(run())
    (info,) = sink.infos
    assert info.keyframes_on_request is obeys
    assert ("on request" if obeys else "when it likes") in info.reason
    assert (took < 0.5) is obeys  # else the next one is the group's end, more than two seconds away
    assert log_of(encoding_camera) == ([(FORCE_KEY_FRAME, 1), (BITRATE, 700_000)] if obeys else [])


def test_it_is_decoded_and_encoded_where_that_is_asked_for(encoding_camera: FakeV4l2) -> None:
    sink = watch(encoding_camera, 10, transcode="always")
    assert (sink.infos[0].encoder, sink.infos[0].pixel_format) == ("libx264", "h264")
    assert len(decode(unit.data for unit in sink.units)) == len(sink.units)


def test_nv12_is_taken_and_looks_right(fake_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = plugged(FakeV4l2(fake_library, tmp_path / "video0", {"FAKE_V4L2_NV12": "1"}), monkeypatch)
    sink = watch(camera, 10, input_format="nv12")
    assert sink.infos[0].pixel_format == "nv12"
    plane = decode(unit.data for unit in sink.units)[-1].planes[0]
    row = bytes(memoryview(plane)[300 * plane.line_size :][:1280])
    assert row[1279] > row[640] > row[300]  # the ramp


# names


@pytest.fixture
def sysfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the kernel says of devices: written by the test, for a directory that stands for /dev."""
    monkeypatch.setattr(devices, "SYSFS", tmp_path / "class")
    monkeypatch.setattr(devices, "DEV", tmp_path)
    return tmp_path / "class"


def listed(sysfs: Path, node: str, name: str, index: int = 0) -> None:
    (sysfs / node).mkdir(parents=True)
    (sysfs / node / "name").write_text(f"{name}\n")
    (sysfs / node / "index").write_text(f"{index}\n")


def test_a_camera_is_found_by_its_name_also_under_another_node(raw_camera: FakeV4l2, sysfs: Path) -> None:
    async def run() -> list[str]:
        camera = source(raw_camera, device="fake camera")
        first, second = Recorder(), Recorder()
        async with running(camera, first):
            await first.has_units(2)
        (sysfs / "video0").rename(sysfs / "video7")
        raw_camera.device.rename(raw_camera.device.with_name("video7"))
        raw_camera.device.symlink_to("video7")  # the fake knows only one path; the kernel would not keep it
        with pytest.raises(CaptureError, match="video7"):
            async with running(camera, second):
                await second.has_units(2)
        return [info.source for info in first.infos]

    listed(sysfs, "video0", "Fake Camera: Fake Camera")
    listed(sysfs, "video1", "Fake Camera: Fake Camera", index=1)  # its metadata
    listed(sysfs, "video2", "Another Camera")
    assert asyncio.run(run()) == [f"v4l2 {raw_camera.device} (Fake Camera)"]


def test_a_name_that_nothing_has_or_two_have_is_an_error_that_lists_what_is_here(sysfs: Path) -> None:
    for number in (0, 2):
        listed(sysfs, f"video{number}", "HD Webcam")
    for name, code in (("HD Webcam", "camera-ambiguous"), ("Thermal", "camera-absent")):
        camera = CaptureProcess("front", CameraSettings.model_validate({"device": name}))
        with pytest.raises(CaptureError, match="video2" if code == "camera-ambiguous" else "Thermal") as caught:
            asyncio.run(camera.run(Recorder()))
        assert caught.value.code == code
        assert "by-id" in caught.value.remedy or "HD Webcam" in caught.value.remedy


# controls


def test_controls_are_set_by_name_from_the_configuration_and_while_it_runs(
    raw_camera: FakeV4l2, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = raw_camera.device.with_name("log")
    monkeypatch.setenv("FAKE_V4L2_LOG", str(log))
    wanted = {"brightness": 40, "auto_exposure": "Manual Mode", "white_balance_automatic": False, "zoom": 3}

    async def run() -> Recorder:
        sink, camera = Recorder(), source(raw_camera, controls=wanted)
        async with running(camera, sink):
            await sink.has_units(5)
            controls = (await camera.set_controls({})).controls
            now = {control.name: control.value for control in controls}
            assert now == {"brightness": 40, "white_balance_automatic": 0, "auto_exposure": 1, "exposure_time_absolute": 250}
            (menu,) = [control.choices for control in controls if control.kind == "menu"]
            assert menu == {"Manual Mode": 1, "Aperture Priority Mode": 3}
            after = await camera.set_controls({"brightness": -60, "exposure_time_absolute": 5000, "auto_exposure": "Night", "zoom": 1})
            assert after.refused["exposure_time_absolute"].startswith("exposure_time_absolute = 5000 is refused")
            assert "3 to 2047" in after.refused["exposure_time_absolute"]
            assert after.refused["auto_exposure"] == "auto_exposure is not 'Night' but one of Manual Mode, Aperture Priority Mode"
            assert after.refused["zoom"] == "there is no control zoom"
            assert "brightness" not in after.refused
            await sink.has_units(len(sink.units) + 5)
            camera.reconfigure(CameraSettings.model_validate({"device": str(raw_camera.device), "controls": {"brightness": 20}}))
            await sink.has_units(len(sink.units) + 5)
        assert len(sink.infos) == 1
        return sink

    sink = asyncio.run(run())
    pictures = decode(unit.data for unit in sink.units)

    def luma(picture: av.VideoFrame) -> int:
        return memoryview(picture.planes[0])[700 * picture.planes[0].line_size + 640]

    assert luma(pictures[2]) > luma(pictures[-1]) > min(luma(picture) for picture in pictures)
    assert [value for name, value in log_of(raw_camera) if name == BRIGHTNESS] == [40, -60, 20]


def test_what_was_set_while_it_ran_holds_after_a_fault_too(raw_camera: FakeV4l2, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_V4L2_LOG", str(raw_camera.device.with_name("log")))

    async def run() -> None:
        camera = source(raw_camera)
        for _ in range(2):
            sink = Recorder()
            async with running(camera, sink):
                await sink.has_units(2)
                if not log_of(raw_camera):
                    await camera.set_controls({"brightness": 33})
        with pytest.raises(CaptureError, match="is closed"):
            await camera.set_controls({"brightness": 1})

    asyncio.run(run())
    assert log_of(raw_camera) == [(BRIGHTNESS, 33)] * 2


def test_units_of_the_fake_are_what_they_should_be(tmp_path: Path) -> None:
    units = write_units(tmp_path)
    assert [number for number, unit in enumerate(units) if h264.is_keyframe(unit)] == [0]


def test_a_raw_picture_is_copied_nowhere_on_its_way_to_the_conversion(raw_camera: FakeV4l2) -> None:
    """Its pixels lie where the driver put them, in a mapped buffer, which begins with a page; memory of malloc's never does."""
    code = f"""
from itertools import islice
from edgecam.capture.v4l2 import V4l2Camera
camera = V4l2Camera({str(raw_camera.device)!r}, "auto", 1280, 720, 30)
camera.open()
print([captured.frame.planes[0].buffer_ptr % 4096 for captured in islice(camera.frames(), 20)])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **raw_camera.env}, capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == str([0] * 20)
