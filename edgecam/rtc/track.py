"""The camera's picture as an aiortc track: already encoded, shared by all viewers, queued for one."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from edgecam.media.feed import Feed
from edgecam.media.pipeline import Pipeline
from edgecam.media.types import RTP_CLOCK
from edgecam.rtc.unitqueue import UnitQueue

TIME_BASE = Fraction(1, RTP_CLOCK)


class CameraTrack(MediaStreamTrack):
    """Delivers `av.Packet`s of access units; aiortc packetises them without encoding.

    The feed begins with the first `recv()`, which aiortc calls once the viewer is connected: that is the
    moment from which a viewer must not miss a unit.
    """

    kind = "video"

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__()
        self._pipeline = pipeline
        self._queue: UnitQueue | None = None

    async def recv(self) -> av.Packet[Any]:
        if self.readyState != "live":
            raise MediaStreamError
        if self._queue is None:
            self._queue = UnitQueue(self._pipeline.attach)
        unit = await self._queue.get()
        packet = av.Packet(unit.data)
        packet.pts = unit.timestamp
        packet.time_base = TIME_BASE
        return packet

    def stop(self) -> None:
        super().stop()
        if self.feed is not None:
            self.feed.close()

    @property
    def feed(self) -> Feed | None:
        """Once the viewer is connected."""
        return self._queue.feed if self._queue is not None else None
