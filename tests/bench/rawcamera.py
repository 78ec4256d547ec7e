"""A raw camera of 720p30 on its way to the daemon: conversion and encoding, the way to the daemon, the process's memory."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import av

from edgecam.capture.candidates import EncoderSpec
from edgecam.capture.encoder import H264Encoder
from edgecam.capture.process import CaptureProcess
from edgecam.media.types import AccessUnit, CaptureReport, StreamInfo
from edgecam.settings import CameraSettings
from tests.bench.figures import Figure
from tests.fakes.v4l2 import FakeV4l2, build_fake_v4l2
from tests.harness.processes import HOME

SPEC = EncoderSpec(width=1280, height=720, fps=30, bitrate_bps=2_000_000, keyframe_interval=10)
WARM_UP = 30  # pictures


def measure(directory: Path, pictures: int) -> dict[str, Figure]:
    """`pictures` of the fake camera, and as many given to the encoder in this process, one each 33 ms as a camera would."""
    directory.mkdir(parents=True, exist_ok=True)
    camera = FakeV4l2(build_fake_v4l2(HOME / ".cache" / "fakes"), directory / "video0")
    camera.plug()
    found, before = _encode(pictures), dict(os.environ)
    os.environ |= camera.env
    try:
        return found | asyncio.run(_whole(camera, pictures))
    finally:
        os.environ.clear()
        os.environ |= before


def _yuyv(number: int) -> av.VideoFrame:
    """A ramp with a bar that moves, as the fake camera draws it."""
    frame = av.VideoFrame(1280, 720, "yuyv422")
    (plane,) = frame.planes
    row = bytearray(b for x in range(640) for b in (16 + x * 219 // 640, 128, 16 + x * 219 // 640, 128))
    left = number * 8 % 1200 * 2
    row[left : left + 64] = b"\xeb\x80" * 32
    view = memoryview(plane)
    for y in range(720):
        view[y * plane.line_size : y * plane.line_size + 2560] = row
    return frame


def _encode(pictures: int) -> dict[str, Figure]:
    encoder, frames, took = H264Encoder("libx264", SPEC), [_yuyv(number) for number in range(30)], []
    for number in range(WARM_UP + pictures):
        begun = time.perf_counter()
        encoder.encode(frames[number % len(frames)], number * 33_333_333, keyframe=False)
        spent = time.perf_counter() - begun
        took.append(1000 * spent)
        time.sleep(max(0.0, 1 / 30 - spent))  # a processor that rests between pictures is slower than one that does not
    return {"convert_encode_ms": Figure.of("YUYV 1280x720 → H.264, conversion and encoding", "ms", took[WARM_UP:])}


class _Sink:
    def __init__(self, wanted: int) -> None:
        self.units: list[AccessUnit] = []
        self.reports: list[CaptureReport] = []
        self.enough = asyncio.Event()
        self._wanted = wanted

    def opened(self, info: StreamInfo) -> None: ...

    def report(self, report: CaptureReport) -> None:
        self.reports.append(report)

    def unit(self, unit: AccessUnit) -> None:
        self.units.append(unit)
        if len(self.units) >= self._wanted + WARM_UP:
            self.enough.set()


async def _whole(camera: FakeV4l2, pictures: int) -> dict[str, Figure]:
    settings: Mapping[str, object] = {"device": str(camera.device), "width": 1280, "height": 720, "fps": 30, "bitrate_kbps": 2000}
    source, sink = CaptureProcess("front", CameraSettings.model_validate(settings)), _Sink(pictures)
    running = asyncio.create_task(source.run(sink), name="capture")
    enough = asyncio.create_task(sink.enough.wait(), name="enough")
    await asyncio.wait({running, enough}, return_when=asyncio.FIRST_COMPLETED)
    enough.cancel()
    assert source.held_by is not None
    memory = _pss_mb(source.held_by)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    units, reports = sink.units[WARM_UP:], [report.encode_ms for report in sink.reports if report.encode_ms]
    whole = [(unit.received_ns - unit.captured_ns) / 1e6 for unit in units]
    return {
        "yuyv_to_daemon_ms": Figure.of("V4L2 buffer of 1280x720 YUYV filled → access unit in the daemon", "ms", whole),
        "encode_report_ms": Figure.of("of that in conversion and encoding, means of a second", "ms", reports or [0.0]),
        "child_pss_mb": Figure("memory of that capture process (PSS)", "MB", memory),
    }


def _pss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    (kib,) = [int(line.split()[1]) for line in lines if line.startswith("Pss:")]
    return kib * 1024 / 1e6
