"""A camera's sound to its viewers: a packet is made once, and encrypted for each."""

from __future__ import annotations

import random
import time
from contextlib import closing, suppress
from struct import pack
from typing import Any

import structlog
from aiortc import RTCRtpSender
from aiortc.rtcrtpparameters import RTCRtpSendParameters
from aiortc.stats import RTCStatsReport

from edgecam.media.microphone import Microphone
from edgecam.media.types import SoundPacket
from edgecam.media.wallclock import WallClock
from edgecam.rtc import aiortc_private
from edgecam.rtc.sending.path import Path
from edgecam.rtc.sending.reports import goodbye, sender_report

log = structlog.get_logger(__name__)

SOUND_CLOCK = 48_000  # Hz, RFC 7587 section 4.1
REPORT_NS = 1_000_000_000
MARKER = 0x80


class SoundFanOut:
    """What the listeners of one camera share: SSRC, sequence numbers, timestamps, and so the whole packet before encryption."""

    def __init__(self, clock: WallClock) -> None:
        self.clock = clock
        self.ssrc, self.rtx_ssrc = random.sample(range(1, 1 << 32), 2)
        self.origin = random.getrandbits(32)  # of RTP timestamps
        self.sequence = random.randrange(1 << 15)  # of the newest packet, not wrapped
        self.newest: SoundPacket | None = None
        self._packets: dict[tuple[int, int], bytes] = {}  # the newest one by payload type and shift

    def packet(self, sound: SoundPacket, payload_type: int, shift: int) -> bytes:
        """The RTP packet (RFC 3550 section 5.1, RFC 7587 section 4). Each packet is to be new, or the newest."""
        if sound is not self.newest:
            self.newest = sound
            self.sequence += 1
            self._packets.clear()
        made = self._packets.get((payload_type, shift))
        if made is None:
            sequence, timestamp = self.sequence + shift & 0xFFFF, sound.timestamp + self.origin & 0xFFFFFFFF
            made = pack("!BBHII", 0x80, payload_type, sequence, timestamp, self.ssrc) + sound.data
            self._packets[payload_type, shift] = made
        return made

    def rtp_time(self, now_ns: int) -> int:
        """The RTP timestamp of what is heard at that moment, CLOCK_MONOTONIC: by the microphone's own clock."""
        sound = self.newest
        if sound is None:
            return (now_ns * 48 // 1_000_000 + self.origin) & 0xFFFFFFFF
        return (sound.timestamp + (now_ns - sound.captured_ns) * 48 // 1_000_000 + self.origin) & 0xFFFFFFFF


class SoundOutlet:
    """Takes an aiortc sender without a track, and sends the camera's sound once aiortc says that it may."""

    def __init__(self, sender: RTCRtpSender, microphone: Microphone, fanout: SoundFanOut, viewer: str) -> None:
        self.packets = 0
        self.octets = 0
        self._sender = sender
        self._microphone = microphone
        self._fanout = fanout
        self._viewer = viewer
        self._srtp: aiortc_private.OutboundSrtp | None = None
        self._path: Path | None = None
        self._payload_type = 0
        self._cname = ""
        self._shift: int | None = None
        self._report_due_ns = 0
        self._closed = False
        aiortc_private.share_ssrcs(sender, fanout.ssrc, fanout.rtx_ssrc)
        aiortc_private.replace_sending(sender, self._start, self._stop, self._statistics)

    def close(self) -> None:
        """Take no more, and say BYE. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._microphone.forget(self._deliver)
        self._microphone.release(self)
        if self._path is None or self._srtp is None:
            return
        with closing(self._path), suppress(aiortc_private.SrtpError):
            if self._path.follow():
                self._path.send(self._srtp.session.protect_rtcp(goodbye(self._fanout.ssrc)))

    async def _start(self, parameters: RTCRtpSendParameters) -> None:
        if self._path is not None or self._closed:
            return
        try:
            codec: Any = parameters.codecs[0]
            self._payload_type, self._cname = int(codec.payloadType), parameters.rtcp.cname or ""
            self._srtp = aiortc_private.outbound_srtp(self._sender)
            self._path = Path(aiortc_private.nominated_pairs(self._sender), self._viewer)
        except Exception:  # per-viewer boundary: pictures go on without sound
            log.exception("sound.failed", viewer=self._viewer)
            return
        self._microphone.prepare(self)
        self._microphone.listen(self._deliver)

    async def _stop(self) -> None:
        self.close()

    async def _statistics(self) -> RTCStatsReport:
        return RTCStatsReport()

    def _deliver(self, sound: SoundPacket) -> None:
        try:
            path, srtp = self._path, self._srtp
            if path is None or srtp is None or not path.follow():
                return
            if self._shift is None:
                # In the lower half, so that an early loss cannot be taken for a wrap (RFC 3711 section 3.3.1).
                self._fanout.packet(sound, self._payload_type, 0)
                self._shift = -(self._fanout.sequence & 0x8000)
            packet = self._fanout.packet(sound, self._payload_type, self._shift)
            path.send(srtp.session.protect(packet))
            self.packets += 1
            self.octets += len(sound.data)
            now_ns = time.monotonic_ns()
            if now_ns >= self._report_due_ns:
                self._report(now_ns)
        except Exception:  # per-viewer boundary
            log.exception("sound.failed", viewer=self._viewer)
            self.close()

    def _report(self, now_ns: int) -> None:
        assert self._path is not None
        assert self._srtp is not None
        self._report_due_ns = now_ns + REPORT_NS
        fanout = self._fanout
        report = sender_report(
            fanout.ssrc, fanout.clock.ntp(now_ns), fanout.rtp_time(now_ns), self.packets, self.octets, self._cname
        )
        self._path.send(self._srtp.session.protect_rtcp(report))
