"""The camera's picture as an aiortc track: already encoded, shared by all viewers, queued for one."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from edgecam.media.broadcaster import Subscription
from edgecam.media.pipeline import Pipeline
from edgecam.media.types import RTP_CLOCK

TIME_BASE = Fraction(1, RTP_CLOCK)


class CameraTrack(MediaStreamTrack):
    """Delivers `av.Packet`s of access units; aiortc packetises them without encoding.

    The subscription begins with the first `recv()`, which aiortc calls once the viewer is connected: that is the
    moment from which a viewer must not miss a unit.
    """

    kind = "video"

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__()
        self._pipeline = pipeline
        self.subscription: Subscription | None = None

    async def recv(self) -> av.Packet[Any]:
        if self.readyState != "live":
            raise MediaStreamError
        if self.subscription is None:
            self.subscription = self._pipeline.subscribe(self)
        unit = await self.subscription.get()
        packet = av.Packet(unit.data)
        packet.pts = unit.timestamp
        packet.time_base = TIME_BASE
        return packet

    def stop(self) -> None:
        super().stop()
        if self.subscription is not None:
            self._pipeline.unsubscribe(self, self.subscription)
