"""The data channel `edgecam` of a viewer page: it asks for the camera's RTP clock and reports its latency.

A viewer that makes no such channel costs nothing. One that misuses it is no longer listened to on any data channel;
its pictures go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog
from aiortc import RTCDataChannel, RTCPeerConnection

from edgecam.media import latency
from edgecam.rtc import aiortc_private
from edgecam.rtc.allowance import Allowance

log = structlog.get_logger(__name__)

LABEL = "edgecam"
# A page sends a few messages at once when it opens the channel and then one every four seconds, in two datagrams with
# the acknowledgement of ours. Handshakes come on top, and another page may have channels of its own.
DATAGRAMS_PER_SECOND = 4.0
BURST = 60.0  # datagrams
MAX_UNSENT = 2048  # bytes of answers that the viewer has not taken


class LatencyChannel:
    """One viewer's. `rtp_clock` gives the RTP timestamp that a picture captured now would have, None before there is
    any. `listen` once the remote description is known."""

    def __init__(self, viewer: str, rtp_clock: Callable[[], int | None]) -> None:
        self._viewer = viewer
        self._rtp_clock = rtp_clock
        self._log = latency.LatencyLog()
        self._datagrams = Allowance(DATAGRAMS_PER_SECOND, BURST)
        self._messages = Allowance(DATAGRAMS_PER_SECOND / 2, BURST / 4)  # a datagram may hold dozens

    @property
    def current(self) -> latency.Latency | None:
        return self._log.current(time.monotonic())

    def listen(self, pc: RTCPeerConnection) -> None:
        """Take part when the viewer has asked for data channels, within bounds."""
        if pc.sctp is None:
            return
        pc.on("datachannel", self._opened)
        aiortc_private.bound_data_channels(pc.sctp, self._admit, self._deafened)

    def _admit(self) -> bool:
        return self._datagrams.spend(time.monotonic())

    def _deafened(self, reason: str) -> None:
        log.info("viewer.data-channel-ignored", viewer=self._viewer, reason=reason)

    def _opened(self, channel: RTCDataChannel) -> None:
        if channel.label == LABEL:
            channel.on("message", lambda message: self._heard(channel, message))

    def _heard(self, channel: RTCDataChannel, message: object) -> None:
        now = time.monotonic()
        if not self._messages.spend(now):
            return
        report = latency.parse(message)
        if report is None:
            return
        if report.latency is not None:
            self._log.take(report.latency, now)
        timestamp = self._rtp_clock()
        if timestamp is not None and channel.readyState == "open" and channel.bufferedAmount <= MAX_UNSENT:
            channel.send(latency.answer(report, timestamp))
