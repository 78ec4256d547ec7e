"""A camera without hardware in the test's own process: real H.264 from libx264 at a steady rate, in two renditions."""

from __future__ import annotations

import asyncio
import time
from fractions import Fraction

import av

from edgecam.media.types import AccessUnit, Begin, CaptureReport, EncoderDemand, LowerRendition, StreamInfo, UnitSink

WIDTH, HEIGHT, FPS = 320, 240, 30
LOWER = (LowerRendition(160, 120, FPS, "libx264", "42c00b"),)
INFO = StreamInfo("test", "yuv420p", WIDTH, HEIGHT, FPS, "libx264", "the test chose it", "42c00d", LOWER)


class _Rendition:
    """An encoder that runs while it is needed, and begins with a keyframe."""

    def __init__(self, index: int, width: int, height: int) -> None:
        self.index = index
        self.running = index == 0
        self.keyframe = True
        self._encoder = av.CodecContext.create("libx264", "w")
        self._encoder.width, self._encoder.height, self._encoder.pix_fmt = width, height, "yuv420p"
        self._encoder.time_base = Fraction(1, FPS)
        self._encoder.framerate = Fraction(FPS)
        self._encoder.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "x264-params": "repeat-headers=1:keyint=900",
        }

    def heed(self, demand: EncoderDemand) -> None:
        self.keyframe |= demand.keyframe or not self.running
        self.running = demand.bitrate_bps > 0

    def encode(self, number: int, timestamp: int, now_ns: int) -> list[AccessUnit]:
        frame = av.VideoFrame(self._encoder.width, self._encoder.height, "yuv420p")
        for index, plane in enumerate(frame.planes):
            plane.update(bytes([(number * 3 + index * 40) % 200 + 20]) * plane.buffer_size)
        frame.pts = number
        forced, self.keyframe = self.keyframe, False
        frame.pict_type = av.video.frame.PictureType.I if forced else av.video.frame.PictureType.NONE
        return [
            AccessUnit(bytes(packet), packet.is_keyframe, timestamp, now_ns, now_ns, self.index)
            for packet in self._encoder.encode(frame)
        ]


class EncodedSource:
    """Implements media.types.VideoSource; `demands` keeps what came back."""

    def __init__(self) -> None:
        self.demands: list[EncoderDemand] = []
        self._renditions: list[_Rendition] = []

    def apply(self, demand: EncoderDemand) -> None:
        self.demands.append(demand)
        if self._renditions:
            self._renditions[demand.rendition].heed(demand)

    held_by: int | None = None

    async def run(self, sink: UnitSink, begin: Begin | None = None) -> None:
        sizes = [(each.width, each.height) for each in (INFO, *LOWER)]
        self._renditions = [_Rendition(index, *size) for index, size in enumerate(sizes)]
        sink.opened(INFO)
        for number in range(10**6):
            now_ns = time.monotonic_ns()
            for rendition in self._renditions:
                if rendition.running:
                    for unit in rendition.encode(number, now_ns * 9 // 100_000, now_ns):
                        sink.unit(unit)
            if number % FPS == 0:
                sink.report(CaptureReport(number, 0, number, 0, 1.0))
            await asyncio.sleep(1 / FPS)
