"""Time and name in the picture: read back from what viewers decode, and what it costs."""

from __future__ import annotations

import asyncio
import socket
import statistics
import time

import av
import pytest

from edgecam.capture.candidates import EncoderSpec
from edgecam.capture.daemonlink import DaemonLink
from edgecam.capture.encodeloop import Demands, EncodeLoop
from edgecam.capture.encoder import choose
from edgecam.capture.font import glyph_rows
from edgecam.capture.frames import LatestFrame
from edgecam.capture.overlay import Overlay, own_copy
from edgecam.capture.process import CaptureProcess
from edgecam.capture.wire import Kind, MessageBuffer, decode_unit
from edgecam.media.types import EncoderDemand
from edgecam.settings import CameraSettings
from tests.capture.watching import Recorder, decode, running
from tests.fakes.v4l2 import FakeV4l2


def read(frame: av.VideoFrame, left: int, top: int, scale: int, alphabet: str) -> str:
    """The text whose first glyph's upper left dot is there, as far as it can be read."""
    plane = frame.planes[0]
    pixels = memoryview(plane)
    shapes = {
        tuple(value > 128 for row in glyph_rows(char, 1, 235, 16) for value in row[:5]): char for char in alphabet
    }
    text = ""
    for x in range(left, frame.width - 6 * scale, 6 * scale):
        dots = []
        for row in range(7):
            for column in range(5):
                at = (top + row * scale + scale // 2) * plane.line_size + x + column * scale + scale // 2
                dots.append(pixels[at] > 128)
        char = shapes.get(tuple(dots))
        if char is None:
            break
        text += char
    return text


def pictures(settings: dict[str, object], count: int = 3) -> list[av.VideoFrame]:
    async def run() -> Recorder:
        sink = Recorder()
        async with running(CaptureProcess("front", CameraSettings.model_validate(settings)), sink):
            await sink.has_units(count)
        return sink

    return decode(unit.data for unit in asyncio.run(run()).units)


@pytest.mark.parametrize("origin", ["yuyv", "test"])
def test_name_and_time_are_readable_in_what_viewers_see(raw_camera: FakeV4l2, origin: str) -> None:
    where: dict[str, object] = {"device": str(raw_camera.device)} if origin == "yuyv" else {"source": "test"}
    before = time.strftime("%F %T")
    shown = pictures({**where, "title": "YARD 7", "overlay": "both", "overlay_corner": "bottom-left", "bitrate_kbps": 6000})
    scale = 3
    text = read(shown[-1], 2 * scale, 720 - 32 + 2 * scale, scale, "YARD 0123456789-:")
    name, _, clock = text.strip().partition("  ")
    assert name == "YARD 7"
    assert before <= clock[:19] <= time.strftime("%F %T")


def test_it_is_in_the_smaller_renditions_too(raw_camera: FakeV4l2) -> None:
    async def run() -> Recorder:
        settings = CameraSettings.model_validate({"device": str(raw_camera.device), "overlay": "time"})
        sink, camera = Recorder(), CaptureProcess("front", settings)
        async with running(camera, sink):
            await sink.has_units(1)
            camera.apply(EncoderDemand(0, rendition=0))
            camera.apply(EncoderDemand(700_000, rendition=1))
            await sink.until(lambda: sum(unit.rendition == 1 for unit in sink.units) > 3)
        return sink

    half = decode(unit.data for unit in asyncio.run(run()).units if unit.rendition == 1)[-1]
    assert (half.width, half.height) == (640, 360)
    plane = half.planes[0]
    below = bytes(memoryview(plane)[(half.height - 1) * plane.line_size :][: half.width])
    assert statistics.mean(below[:100]) < 40  # the box, where the camera's own picture is a ramp
    assert statistics.mean(below[-100:]) > 150


@pytest.mark.parametrize("pixel_format", ["yuv420p", "nv12"])
def test_it_costs_a_fraction_of_a_millisecond_at_720p(pixel_format: str) -> None:
    frame, overlay = av.VideoFrame(1280, 720, pixel_format), Overlay("Front door", clock=True, corner="top-right")
    for plane in frame.planes:
        plane.update(bytes([90]) * plane.buffer_size)
    took = []
    for number in range(300):
        started = time.perf_counter()
        overlay.draw(frame, number * 33_333_333)
        took.append((time.perf_counter() - started) * 1000)
    print(f"{pixel_format}: median {statistics.median(took):.3f} ms, p95 {sorted(took)[285]:.3f} ms")
    assert statistics.median(took) < 0.5


def test_a_source_that_owns_its_picture_is_not_drawn_on() -> None:
    frame = av.VideoFrame(640, 480, "yuv420p")
    for plane in frame.planes:
        plane.update(bytes([90]) * plane.buffer_size)
    Overlay("", clock=True, corner="top-left").draw(own_copy(frame), 0)
    assert set(bytes(memoryview(frame.planes[0]))) == {90}


def test_a_source_with_smaller_pictures_of_its_own_has_it_in_both_and_in_what_is_made_of_them() -> None:
    """As the ISP of a libcamera camera makes them; the third rendition is scaled down from them."""

    def grey(width: int, height: int, luma: int) -> av.VideoFrame:
        frame = av.VideoFrame(width, height, "yuv420p")
        for plane, value in zip(frame.planes, (luma, 128, 128), strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        return frame

    def boxed(frame: av.VideoFrame) -> tuple[bool, bool]:
        """Whether the lower left corner is the box, and the upper right one is grey."""
        plane = frame.planes[0]
        pixels, last = memoryview(plane), (frame.height - 1) * plane.line_size
        return statistics.mean(pixels[last : last + frame.width // 64]) < 40, min(pixels[frame.width - 40 : frame.width]) > 150

    daemon, child = socket.socketpair()
    sizes = [(1280, 720), (640, 360), (320, 180)]
    encoders = [choose(EncoderSpec(*size, 30, 1_000_000, 10), "libx264", {}, lambda _: None).encoder for size in sizes]
    demands = Demands()
    loop = EncodeLoop(LatestFrame(), encoders, DaemonLink(child), demands, None, Overlay("YARD", clock=False, corner="bottom-left"))
    for rendition in range(3):
        demands.add(EncoderDemand(1_000_000, rendition=rendition))
    whole, small = grey(1280, 720, 180), grey(640, 360, 200)
    loop.encode(whole, 0, small)
    buffer, units = MessageBuffer(), dict[int, bytes]()
    while len(units) < 3:
        for kind, payload in buffer.received(daemon.recv_into(buffer.free())):
            assert kind is Kind.UNIT
            _keyframe, rendition, _captured_ns, data = decode_unit(payload)
            units[rendition] = data
    seen = {rendition: decode([data])[-1] for rendition, data in units.items()}
    assert {rendition: boxed(frame) for rendition, frame in seen.items()} == dict.fromkeys(range(3), (True, True))
    assert [round(memoryview(seen[rendition].planes[0])[seen[rendition].width // 2], -1) for rendition in range(3)] == [180, 200, 200]
    assert boxed(whole) == boxed(small) == (False, True)  # the source's own
    daemon.close()
    child.close()
