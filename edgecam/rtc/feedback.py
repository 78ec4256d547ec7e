"""What a viewer says about the stream in RTCP, read without trust: what is malformed is skipped, nothing raises.

RFC 3550 section 6 (compound, reports, BYE), RFC 4585 section 6 (NACK, PLI), RFC 5104 section 4.3.1 (FIR), RFC 5506
(reduced size), draft-alvestrand-rmcat-remb-03 (REMB). Transport-wide feedback is not negotiated, and skipped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct

SR, RR, BYE, RTPFB, PSFB = 200, 201, 203, 205, 206
NACK = 1  # of RTPFB
PLI, FIR, APPLICATION = 1, 4, 15  # of PSFB

# Browsers send up to six packets in a compound, and ask for some dozens of packets at once.
MAX_PACKETS = 32
MAX_NACKED = 512
MAX_BPS = 10_000_000_000

_HEADER = Struct("!BBHI")  # version, padding and count; packet type; length in words - 1; SSRC of who sent it
_BLOCK = Struct("!IIIIII")
_SSRC = Struct("!I")
_NACK = Struct("!HH")
_FIR = Struct("!IB3x")
_REMB = Struct("!4sBBH")


@dataclass(frozen=True, slots=True)
class KeyframeWanted:
    """PLI, or a FIR command that was not heard before, for our stream."""


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """REMB: what the viewer believes its link carries, bit/s, at most MAX_BPS."""

    bps: int


@dataclass(frozen=True, slots=True)
class Reception:
    """A report block about our stream, or with `rtx` about its retransmissions (RFC 3550 section 6.4.1)."""

    rtx: bool
    fraction_lost: float  # 0..1 of the packets since the last report
    lost: int  # since the beginning, signed 24 bits: negative when there were duplicates
    highest: int  # sequence number received, with the count of its cycles in the upper 16 bits
    jitter: int  # 90 kHz ticks
    lsr: int  # middle 32 bits of the NTP time of our last sender report, 0 when the viewer has none
    dlsr: int  # 1/65536 s between that report's arrival and this one

    def round_trip(self, now: int) -> float | None:
        """Seconds, `now` being the middle 32 bits of the NTP time; None when the report does not tell, or not the truth."""
        ticks = (now - self.lsr - self.dlsr) & 0xFFFFFFFF
        return ticks / 65536 if self.lsr and ticks < 60 << 16 else None


@dataclass(frozen=True, slots=True)
class Nack:
    """Packets of our stream that the viewer wants again, at most MAX_NACKED sequence numbers (RFC 4585 section 6.2.1)."""

    sequence_numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Bye:
    """Who reported about our stream has left (RFC 3550 section 6.6); a BYE of anybody else is not heard."""


Feedback = KeyframeWanted | Bandwidth | Reception | Nack | Bye


class FeedbackReader:
    """Reads one viewer's RTCP about the stream `ssrc` and its retransmissions `rtx_ssrc`.

    `ignored` counts packets and sequence numbers that were malformed or beyond the bounds above.
    """

    __slots__ = ("_fir", "_found", "_reporter", "_rtx_ssrc", "_ssrc", "ignored")

    def __init__(self, ssrc: int, rtx_ssrc: int | None = None) -> None:
        self.ignored = 0
        self._ssrc = ssrc
        self._rtx_ssrc = rtx_ssrc
        self._fir = -1  # sender and number of the last FIR command
        self._reporter = -1  # SSRC of whoever reported about us last
        # What the compound at hand has said, by kind: repeating oneself in one compound makes nothing more of it.
        self._found: dict[object, Feedback] = {}

    def read(self, data: bytes) -> Iterable[Feedback]:
        """What a decrypted compound packet says; at most one of each kind, but two Receptions. To be
        consumed before the next call."""
        self._found.clear()
        offset, size, packets = 0, len(data), 0
        while offset + 8 <= size:
            first, kind, words, sender = _HEADER.unpack_from(data, offset)
            following = offset + 4 * words + 4
            packets += 1
            if first & 0xC0 != 0x80 or following > size or packets > MAX_PACKETS:
                self.ignored += 1
                break
            end = following
            if first & 0x20:  # padding; browsers also put 1 to 3 bytes of it, whatever RFC 3550 says
                end -= data[following - 1]
            if kind == RR:
                self._reports(data, offset + 8, end, first & 0x1F, sender)
            elif kind == PSFB:
                self._payload_specific(data, offset, end, first & 0x1F, sender)
            elif kind == RTPFB:
                self._transport_layer(data, offset, end, first & 0x1F)
            elif kind == SR:
                self._reports(data, offset + 28, end, first & 0x1F, sender)
            elif kind == BYE:
                self._bye(data, offset, end, first & 0x1F)
            offset = following
        return self._found.values()

    def _reports(self, data: bytes, at: int, end: int, count: int, sender: int) -> None:
        for block in range(at, min(end - 23, at + 24 * count), 24):
            source, loss, highest, jitter, lsr, dlsr = _BLOCK.unpack_from(data, block)
            rtx = source == self._rtx_ssrc
            if rtx or source == self._ssrc:
                self._reporter = sender
                lost = (loss & 0x7FFFFF) - (loss & 0x800000)
                self._found[rtx] = Reception(rtx, (loss >> 24) / 256, lost, highest, jitter, lsr, dlsr)

    def _payload_specific(self, data: bytes, offset: int, end: int, fmt: int, sender: int) -> None:
        if end < offset + 12:
            self.ignored += 1
        elif fmt == APPLICATION:
            self._remb(data, offset + 12, end)
        elif fmt == PLI:
            if _SSRC.unpack_from(data, offset + 8)[0] == self._ssrc:
                self._found[KeyframeWanted] = KeyframeWanted()
        elif fmt == FIR:  # its media SSRC is unused: each entry names its own
            for entry in range(offset + 12, end - 7, 8):
                target, number = _FIR.unpack_from(data, entry)
                command = sender << 8 | number
                if target == self._ssrc and command != self._fir:
                    self._fir = command
                    self._found[KeyframeWanted] = KeyframeWanted()

    def _remb(self, data: bytes, at: int, end: int) -> None:
        if end < at + 12:
            self.ignored += 1
            return
        name, count, high, low = _REMB.unpack_from(data, at)
        if name != b"REMB":
            return
        for source in range(at + 8, min(end - 3, at + 8 + 4 * count), 4):
            if _SSRC.unpack_from(data, source)[0] in (self._ssrc, self._rtx_ssrc):
                self._found[Bandwidth] = Bandwidth(min(MAX_BPS, ((high & 3) << 16 | low) << (high >> 2)))
                return

    def _transport_layer(self, data: bytes, offset: int, end: int, fmt: int) -> None:
        if end < offset + 12:
            self.ignored += 1
        elif fmt == NACK and _SSRC.unpack_from(data, offset + 8)[0] == self._ssrc:
            self._nack(data, offset + 12, end)

    def _nack(self, data: bytes, at: int, end: int) -> None:
        before = self._found.get(Nack)
        wanted = list(before.sequence_numbers) if isinstance(before, Nack) else []
        for entry in range(at, end - 3, 4):
            if len(wanted) >= MAX_NACKED:
                self.ignored += 1
                break
            first, following = _NACK.unpack_from(data, entry)
            wanted.append(first)
            while following:
                lowest = following & -following
                wanted.append((first + lowest.bit_length()) & 0xFFFF)
                following ^= lowest
        if wanted:
            self._found[Nack] = Nack(tuple(wanted[:MAX_NACKED]))

    def _bye(self, data: bytes, offset: int, end: int, count: int) -> None:
        for source in range(offset + 4, min(end - 3, offset + 4 + 4 * count), 4):
            if _SSRC.unpack_from(data, source)[0] == self._reporter:
                self._found[Bye] = Bye()
