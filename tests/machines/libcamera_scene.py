"""Run by the tree's Python: CaptureProcess on a libcamera camera, one scene after another; prints what was seen as JSON."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import av
import structlog

from edgecam.capture.process import CaptureProcess
from edgecam.errors import CaptureError
from edgecam.media import h264
from edgecam.media.types import AccessUnit, CaptureReport, EncoderDemand, StreamInfo
from edgecam.settings import CameraSettings

PATIENCE = 60.0  # seconds


class Sink:
    """Remembers everything."""

    def __init__(self) -> None:
        self.info: StreamInfo | None = None
        self.units: list[AccessUnit] = []
        self.last: CaptureReport | None = None
        self.changed = asyncio.Event()

    def opened(self, info: StreamInfo) -> None:
        self.info = info

    def unit(self, unit: AccessUnit) -> None:
        self.units.append(unit)
        self.changed.set()

    def report(self, report: CaptureReport) -> None:
        self.last = report

    async def units_where(self, wanted: Callable[[AccessUnit], bool], count: int = 1) -> list[AccessUnit]:
        """The next `count` such units."""
        seen = len(self.units)
        async with asyncio.timeout(PATIENCE):
            while True:
                found = [unit for unit in self.units[seen:] if wanted(unit)]
                if len(found) >= count:
                    return found
                self.changed.clear()
                await self.changed.wait()


async def watched(settings: dict[str, Any], scene: Callable[[CaptureProcess, Sink], Any]) -> dict[str, Any]:
    """What `scene` returns, or the error with which the camera broke."""
    source, sink = CaptureProcess("front", CameraSettings(**settings)), Sink()
    running = asyncio.create_task(source.run(sink))
    playing = asyncio.create_task(scene(source, sink))
    await asyncio.wait({running, playing}, return_when=asyncio.FIRST_COMPLETED)
    if not playing.done():
        playing.cancel()
        error = running.exception()
        assert isinstance(error, CaptureError), error
        return {"code": error.code, "message": error.message, "remedy": error.remedy}
    running.cancel()
    await asyncio.wait({running})
    result: dict[str, Any] = playing.result()
    return result


def rate(units: list[AccessUnit]) -> float:
    """Pictures per second, by the usual time between two: a busy machine leaves some out."""
    return 1e9 / statistics.median(after.captured_ns - before.captured_ns for before, after in itertools.pairwise(units))


def bits(units: list[AccessUnit]) -> float:
    """bit/s at the rate of 30."""
    return sum(len(unit.data) for unit in units) * 8 * 30 / len(units)


def speed(units: list[AccessUnit]) -> float:
    """Pixels by which the stripes move from picture to picture; a sensor's virtual stream moves by one, whatever its size."""
    decoder = av.CodecContext.create("h264", "r")
    edges = []
    for unit in units:
        for frame in decoder.decode(av.Packet(unit.data)):
            row = bytes(frame.planes[0])[: frame.width]
            edges.append(next(x for x in range(frame.width - 1) if row[x] < 128 <= row[x + 1]))
    period = 2 * (frame.width // 10)
    moved = sum((before - after + period // 2) % period - period // 2 for before, after in itertools.pairwise(edges))
    return moved / round((units[-1].timestamp - units[0].timestamp) / 3000)  # under load the encoder leaves some out


async def everything(source: CaptureProcess, sink: Sink) -> dict[str, Any]:
    def full(unit: AccessUnit) -> bool:
        return unit.rendition == 0

    await sink.units_where(full, 30)
    first = await sink.units_where(full, 30)
    assert source._child is not None
    pid = source._child.pid
    seen: dict[str, Any] = {"source": sink.info.source if sink.info else "", "encoder": sink.info.encoder if sink.info else ""}
    seen["age_ms"] = sorted((unit.received_ns - unit.captured_ns) / 1e6 for unit in first[5:])
    seen["fps"] = rate(first[5:])
    seen["begins_with_keyframe"] = sink.units[0].keyframe

    asked_ns = time.monotonic_ns()
    source.apply(EncoderDemand(bitrate_bps=1_000_000, keyframe=True))
    (keyframe, *_) = await sink.units_where(lambda unit: unit.keyframe)
    seen["keyframe_ms"] = (keyframe.received_ns - asked_ns) / 1e6

    for bps in (1_000_000, 200_000):
        source.apply(EncoderDemand(bitrate_bps=bps, keyframe=False))
        await sink.units_where(full, 30)
        seen[f"at_{bps}"] = bits(await sink.units_where(full, 45))

    source.apply(EncoderDemand(bitrate_bps=200_000, keyframe=False, rendition=1))
    lower = await sink.units_where(lambda unit: unit.rendition == 1, 20)
    seen["lower_begins_with_keyframe"] = lower[0].keyframe
    seen["lower_speed"] = speed(lower)
    together = {unit.timestamp for unit in sink.units if full(unit)}
    seen["lower_in_step"] = all(unit.timestamp in together for unit in lower[1:-1])  # the first may be of a picture seen before

    seen["controls"] = [control.as_dict() for control in (await source.set_controls({})).controls]
    seen["after"] = [control.as_dict() for control in (await source.set_controls({"FrameRate": 10})).controls]
    await sink.units_where(full, 8)  # those that were queued before
    seen["slow_fps"] = rate(await sink.units_where(full, 10))
    wrong = {"Brightness": 0.1, "FrameDurationLimits": [1, 1], "FaceDetectMode": "Fancy", "FrameRate": "fast"}
    seen["refused"] = (await source.set_controls(wrong)).refused
    seen["same_process"] = source._child.pid == pid and source._child.returncode is None
    seen["report"] = sink.last.frames_dropped if sink.last else None
    return seen


async def scaled(source: CaptureProcess, sink: Sink) -> dict[str, Any]:
    """The smaller rendition without the second stream."""
    await sink.units_where(lambda _unit: True)
    source.apply(EncoderDemand(bitrate_bps=200_000, keyframe=False, rendition=1))
    return {"lower_speed": speed(await sink.units_where(lambda unit: unit.rendition == 1, 20))}


async def killed(source: CaptureProcess, sink: Sink) -> dict[str, Any]:
    await sink.units_where(lambda _unit: True)
    assert source._child is not None
    os.kill(source._child.pid, signal.SIGKILL)
    await asyncio.Event().wait()
    raise AssertionError


async def in_hardware(source: CaptureProcess, sink: Sink) -> dict[str, Any]:
    """With the encoder that picamera2 drives."""
    first = await sink.units_where(lambda unit: unit.rendition == 0, 20)
    assert sink.info is not None
    assert source._child is not None
    pid = source._child.pid
    seen: dict[str, Any] = {"encoder": sink.info.encoder, "reason": sink.info.reason, "profile": sink.info.profile_level_id}
    seen["begins_with_keyframe"] = sink.units[0].keyframe
    seen["keyframes"] = sum(unit.keyframe for unit in sink.units)
    seen["age_ms"] = sorted((unit.received_ns - unit.captured_ns) / 1e6 for unit in first[5:])
    asked_ns = time.monotonic_ns()
    source.apply(EncoderDemand(bitrate_bps=1_000_000, keyframe=True))
    (keyframe, *_) = await sink.units_where(lambda unit: unit.keyframe)
    seen["keyframe_ms"] = (keyframe.received_ns - asked_ns) / 1e6
    seen["headers"] = [h264.find_nal(keyframe.data, kind) is not None for kind in (h264.SPS, 8)]
    for bps in (1_000_000, 200_000):
        source.apply(EncoderDemand(bitrate_bps=bps, keyframe=False))
        await sink.units_where(lambda unit: unit.rendition == 0, 30)
        seen[f"at_{bps}"] = bits(await sink.units_where(lambda unit: unit.rendition == 0, 45))
    source.apply(EncoderDemand(bitrate_bps=200_000, keyframe=False, rendition=1))
    seen["lower"] = (await sink.units_where(lambda unit: unit.rendition == 1, 5))[0].keyframe
    decoder = av.CodecContext.create("h264", "r")
    decoded = [frame for unit in sink.units if unit.rendition == 0 for frame in decoder.decode(av.Packet(unit.data))]
    seen["decoded"] = [len(decoded), sum(unit.rendition == 0 for unit in sink.units), decoded[0].width, decoded[0].height]
    seen["same_process"] = source._child.pid == pid and source._child.returncode is None
    return seen


async def opened(_source: CaptureProcess, sink: Sink) -> dict[str, Any]:
    await sink.units_where(lambda _unit: True)
    assert sink.info is not None
    return {"source": sink.info.source, "encoder": sink.info.encoder, "reason": sink.info.reason}


CAMERA: dict[str, Any] = {"source": "picamera2", "width": 640, "height": 480, "fps": 30, "bitrate_kbps": 1000}


async def main() -> None:
    if sys.argv[1:]:
        scene = {"in_hardware": in_hardware, "opened": opened}[sys.argv[1]]
        sys.stdout.write(json.dumps(await watched(CAMERA, scene)))
        return
    seen: dict[str, Any] = {
        "everything": await watched({**CAMERA, "lores": True, "controls": {"FrameRate": 30}}, everything),
        "scaled": await watched(CAMERA, scaled),
        "killed": await watched(CAMERA, killed),
    }
    broken_ns = time.monotonic_ns()
    seen["by_model"] = await watched({**CAMERA, "camera": "barred"}, opened)
    seen["start_s"] = (time.monotonic_ns() - broken_ns) / 1e9
    seen["absent"] = await watched({**CAMERA, "camera": "imx708"}, opened)
    seen["wrong_control"] = await watched({**CAMERA, "controls": {"Brightness": 0.1}}, opened)
    seen["roi"] = await watched({**CAMERA, "roi": [0.25, 0.25, 0.5, 0.5]}, opened)
    sys.stdout.write(json.dumps(seen))


structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
asyncio.run(main())
