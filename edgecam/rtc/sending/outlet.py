"""A peer connection's video section on our side: the fast path where it can be had, aiortc's own sender elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from aiortc import RTCRtpSender
from aiortc.rtcrtpparameters import RTCRtpSendParameters
from aiortc.stats import RTCStatsReport

from edgecam.media.feed import Feed
from edgecam.media.pipeline import Pipeline
from edgecam.rtc import aiortc_private
from edgecam.rtc.extensions import ExtensionIds, sendable_mid
from edgecam.rtc.sending.fanout import FanOut
from edgecam.rtc.sending.path import Path
from edgecam.rtc.sending.rate import RateControl
from edgecam.rtc.sending.repair import Repair
from edgecam.rtc.sending.sender import ViewerSender
from edgecam.rtc.sending.statistics import statistics
from edgecam.rtc.sending.streams import Stream
from edgecam.rtc.sending.template import StreamFormat
from edgecam.rtc.track import CameraTrack

log = structlog.get_logger(__name__)


class VideoOutlet:
    """Takes an aiortc sender without a track, and sends the camera's units once aiortc says that it may.

    `ended` is called when sending ended otherwise than by `close()`. `fast`, `repair` and `rate` are there from the start of
    sending on, unless this viewer is served by aiortc's own sender.
    """

    def __init__(
        self, sender: RTCRtpSender, pipeline: Pipeline, fanout: FanOut, viewer: str, ended: Callable[[str], None]
    ) -> None:
        self.fast: ViewerSender | None = None
        self.repair: Repair | None = None
        self.rate: RateControl | None = None
        self._sender = sender
        self._pipeline = pipeline
        self._fanout = fanout
        self._viewer = viewer
        self._ended = ended
        self._track: CameraTrack | None = None
        self.with_sound = False  # the viewer is sent sound too
        self._closed = False
        aiortc_private.replace_sending(sender, self._start, self._stop, self._statistics)

    @property
    def feed(self) -> Feed | None:
        """Once sending has begun."""
        if self._track is not None:
            return self._track.feed
        return self.fast.feed if self.fast is not None else None

    @property
    def media_path(self) -> str | None:
        """`fast`, or `stock` for aiortc's own sender; None before sending has begun."""
        return "fast" if self.fast is not None else "stock" if self._track is not None else None

    def close(self) -> None:
        """Take no more units, and say BYE where that is ours to say; sending does not begin any more. Idempotent."""
        self._closed = True
        if self.rate is not None:
            self.rate.close()
        if self.fast is not None:
            self.fast.close()
        if self._track is not None:
            self._track.stop()

    # what aiortc calls

    async def _start(self, parameters: RTCRtpSendParameters) -> None:
        # A handshake that was nearly over when the session was closed may end after all.
        if self.fast is not None or self._closed:
            return
        if self._fanout.capabilities.usable:
            try:
                self.fast = self._open(parameters)
            except Exception as error:  # noqa: BLE001 - whatever is not as expected in aiortc, its own sender still works
                log.warning("sending.stock", viewer=self._viewer, reason=repr(error))
        if self.fast is None:
            await self._start_stock(parameters)
            return
        log.debug("sending.begun", viewer=self._viewer, srtp=self.fast.srtp.profile, stream=self.fast.stream)
        self.repair = Repair(self.fast)
        pipeline = self._pipeline
        self.rate = RateControl(self.fast, self.repair, pipeline.settings.ceiling_bps, lambda: pipeline.ceiling_bps)
        self.fast.start(pipeline.attach(self.fast.deliver))

    async def _start_stock(self, parameters: RTCRtpSendParameters) -> None:
        aiortc_private.restore_sending(self._sender)
        self._track = CameraTrack(self._pipeline)
        # aiortc's sending task stops the track when it ends, whatever ended it, and tells nobody else.
        self._track.on("ended", lambda: self._ended("sending to the viewer ended"))
        self._sender.replaceTrack(self._track)
        await self._sender.send(parameters)

    async def _stop(self) -> None:
        self.close()

    async def _statistics(self) -> RTCStatsReport:
        return statistics(self.fast, self.repair) if self.fast is not None and self.repair is not None else RTCStatsReport()

    def _open(self, parameters: RTCRtpSendParameters) -> ViewerSender:
        codec: Any = parameters.codecs[0]
        rtx: Any = next(
            (c for c in parameters.codecs if c.mimeType.lower() == "video/rtx" and c.parameters.get("apt") == codec.payloadType),
            None,
        )
        srtp = aiortc_private.outbound_srtp(self._sender)
        playout = self._fanout.playout
        if playout is not None and self.with_sound:
            playout = playout.with_sound()
        ids = ExtensionIds.of(parameters.headerExtensions)
        stream = Stream(
            StreamFormat(int(codec.payloadType), ids, sendable_mid(parameters.muxId), srtp.tag_length, playout),
            aiortc_private.media_ssrc(self._sender),
            aiortc_private.rtx_ssrc(self._sender),
            int(rtx.payloadType) if rtx is not None else None,
            parameters.rtcp.cname or "",
        )
        path = Path(aiortc_private.nominated_pairs(self._sender), self._viewer, gso=self._fanout.capabilities.gso)
        if not path.follow():
            raise LookupError("ICE has no nominated pair")
        return ViewerSender(self._fanout, stream, srtp, path, self._ended)
