"""What viewers say about the stream in RTCP, parsed without trust: malformed packets are skipped, nothing raises.

RFC 3550 section 6 (compound, receiver reports), RFC 4585 section 6.3.1 (PLI), RFC 5104 section 4.3.1 (FIR),
draft-alvestrand-rmcat-remb-03 (REMB).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import unpack_from

RR, SR, RTPFB, PSFB = 201, 200, 205, 206
NACK = 1
PLI, FIR, APPLICATION = 1, 4, 15


@dataclass(frozen=True, slots=True)
class KeyframeWanted:
    """PLI or FIR for our stream."""


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """REMB: what the viewer believes its link carries, bit/s."""

    bps: int


@dataclass(frozen=True, slots=True)
class Reception:
    """A report block about our stream: loss since the last report 0..1, total lost, jitter in 90 kHz ticks."""

    fraction_lost: float
    lost: int
    jitter: int


@dataclass(frozen=True, slots=True)
class Lost:
    """A NACK (RFC 4585 section 6.2.1): how many packets, repeats counted, the viewer wants again."""

    packets: int


Feedback = KeyframeWanted | Bandwidth | Reception | Lost


def parse(data: bytes, ssrc: int) -> Iterator[Feedback]:
    """Feedback about the stream `ssrc` in a decrypted RTCP compound packet."""
    offset = 0
    while offset + 8 <= len(data):
        first, kind, words = unpack_from("!BBH", data, offset)
        end = offset + 4 * (words + 1)
        if first >> 6 != 2 or end > len(data):
            return
        count = first & 0x1F
        if kind == PSFB:
            yield from _payload_feedback(data[offset:end], count, ssrc)
        elif kind == RTPFB and count == NACK and end - offset >= 12:
            if unpack_from("!I", data, offset + 8)[0] == ssrc:
                entries = unpack_from(f"!{(end - offset - 12) // 4}I", data, offset + 12)
                yield Lost(sum(1 + (entry & 0xFFFF).bit_count() for entry in entries))
        elif kind in {RR, SR}:
            yield from _report_blocks(data[offset + (28 if kind == SR else 8) : end], count, ssrc)
        offset = end


def _payload_feedback(packet: bytes, fmt: int, ssrc: int) -> Iterator[Feedback]:
    if len(packet) < 12:
        return
    (media,) = unpack_from("!I", packet, 8)
    if fmt == PLI and media == ssrc:
        yield KeyframeWanted()
    elif fmt == FIR:  # the media SSRC is unused; each entry names its own
        if any(unpack_from("!I", packet, at)[0] == ssrc for at in range(12, len(packet) - 7, 8)):
            yield KeyframeWanted()
    elif fmt == APPLICATION and packet[12:16] == b"REMB" and len(packet) >= 20:
        exponent = packet[17] >> 2
        mantissa = (packet[17] & 0x03) << 16 | packet[18] << 8 | packet[19]
        sources = [unpack_from("!I", packet, at)[0] for at in range(20, min(len(packet) - 3, 20 + 4 * packet[16]), 4)]
        if ssrc in sources:
            yield Bandwidth(mantissa << exponent)


def _report_blocks(blocks: bytes, count: int, ssrc: int) -> Iterator[Reception]:
    for at in range(0, min(len(blocks) - 23, 24 * count), 24):
        source, loss, _highest, jitter = unpack_from("!IIII", blocks, at)
        if source == ssrc:
            lost = loss & 0xFFFFFF
            yield Reception((loss >> 24) / 256, lost - 0x1000000 if lost & 0x800000 else lost, jitter)
