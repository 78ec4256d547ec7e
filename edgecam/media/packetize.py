"""RTP payloads of an H.264 access unit (RFC 6184, packetization-mode 1), as a pure function.

Small NAL units that follow each other (SPS, PPS, SEI) share a STAP-A, large ones are split evenly into FU-A: packets of
one size, the last one at most a few bytes shorter, are what a single GSO send can carry. Access unit delimiters and
filler data say nothing that RTP does not (RFC 6184 section 5.1) and are left out.
"""

from __future__ import annotations

from typing import NamedTuple

from edgecam.media.h264 import nal_spans

# Bytes of a payload. A packet with RTP header (12), header extensions (at most 36 with a short mid), the original
# sequence number of a retransmission (2) and the longest SRTP tag (16) stays within 1200 bytes: what passes everywhere.
MAX_PAYLOAD = 1134
# NAL units up to this size are aggregated with their neighbours.
SMALL = 400

_STAP_A = 24
_FU_A = 28
_FU_START, _FU_END = 0x80, 0x40
_LEFT_OUT = frozenset({9, 12})  # nal_unit_type: access unit delimiter, filler data


class Payload(NamedTuple):
    """One packet's payload: `prefix`, then `data[begin:end]` of the access unit."""

    prefix: bytes
    begin: int
    end: int

    @property
    def octets(self) -> int:
        return len(self.prefix) + self.end - self.begin

    def of(self, data: bytes) -> bytes:
        """The payload's bytes, out of the access unit that it was made from."""
        return self.prefix + data[self.begin : self.end]


def packetize(data: bytes) -> list[Payload]:
    """The payloads of an access unit in Annex B, in order; empty when there is nothing to send in it."""
    payloads: list[Payload] = []
    small: list[tuple[int, int]] = []
    for begin, end in nal_spans(data):
        if data[begin] & 0x1F in _LEFT_OUT:
            continue
        if end - begin <= SMALL and 1 + sum(2 + e - b for b, e in [*small, (begin, end)]) <= MAX_PAYLOAD:
            small.append((begin, end))
            continue
        payloads += _aggregate(data, small)
        small = [(begin, end)] if end - begin <= SMALL else []
        if not small:
            payloads += _single(begin, end) if end - begin <= MAX_PAYLOAD else _fragments(data, begin, end)
    return payloads + _aggregate(data, small)


def _single(begin: int, end: int) -> list[Payload]:
    return [Payload(b"", begin, end)]


def _aggregate(data: bytes, spans: list[tuple[int, int]]) -> list[Payload]:
    if len(spans) < 2:
        return [Payload(b"", begin, end) for begin, end in spans]
    # The F bit is set if any has it, NRI is the highest of them: RFC 6184 section 5.7.
    forbidden = max(data[begin] & 0x80 for begin, _ in spans)
    importance = max(data[begin] & 0x60 for begin, _ in spans)
    parts = [bytes([forbidden | importance | _STAP_A])]
    for begin, end in spans:
        parts += [(end - begin).to_bytes(2, "big"), data[begin:end]]
    return [Payload(b"".join(parts), 0, 0)]


def _fragments(data: bytes, begin: int, end: int) -> list[Payload]:
    header = data[begin]
    indicator, nal_type = header & 0xE0 | _FU_A, header & 0x1F
    body = begin + 1  # the NAL unit's header travels in the FU indicator and FU header
    count = -(-(end - body) // (MAX_PAYLOAD - 2))
    size = -(-(end - body) // count)
    payloads = []
    for index in range(count):
        flags = (_FU_START if index == 0 else 0) | (_FU_END if index == count - 1 else 0)
        first = body + index * size
        payloads.append(Payload(bytes([indicator, flags | nal_type]), first, min(first + size, end)))
    return payloads
