"""A camera without hardware in the test's own process: real H.264 from libx264 at a steady rate."""

from __future__ import annotations

import asyncio
import time
from fractions import Fraction

import av

from edgecam.media.types import AccessUnit, EncoderDemand, StreamInfo, UnitSink

WIDTH, HEIGHT, FPS = 320, 240, 30


class EncodedSource:
    """Implements media.types.VideoSource; `demands` keeps what came back."""

    def __init__(self) -> None:
        self.demands: list[EncoderDemand] = []
        self._keyframe = True

    def apply(self, demand: EncoderDemand) -> None:
        self.demands.append(demand)
        self._keyframe |= demand.keyframe

    async def run(self, sink: UnitSink) -> None:
        encoder = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        encoder.time_base = Fraction(1, FPS)
        encoder.framerate = Fraction(FPS)
        encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "repeat-headers=1:keyint=900"}
        sink.opened(StreamInfo("test", "yuv420p", WIDTH, HEIGHT, FPS, "libx264", "the test chose it", "42c00d"))
        for index in range(10**6):
            frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
            for number, plane in enumerate(frame.planes):
                plane.update(bytes([(index * 3 + number * 40) % 200 + 20]) * plane.buffer_size)
            frame.pts = index
            forced, self._keyframe = self._keyframe, False
            frame.pict_type = av.video.frame.PictureType.I if forced else av.video.frame.PictureType.NONE
            for packet in encoder.encode(frame):
                now = time.monotonic_ns()
                sink.unit(AccessUnit(bytes(packet), packet.is_keyframe, now * 9 // 100_000, now, now))
            await asyncio.sleep(1 / FPS)
