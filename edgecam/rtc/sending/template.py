"""An access unit as packets of one class of viewers, complete but for what differs from viewer to viewer."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from struct import Struct, pack
from typing import Any

from edgecam.media.packetize import Payload
from edgecam.media.wallclock import WallClock
from edgecam.rtc.extensions import (
    CAPTURE_TIME,
    SEND_TIME,
    ExtensionBlock,
    ExtensionIds,
    PlayoutDelay,
    full_block,
    plain_block,
)
from edgecam.rtc.sending.pacer import AT_ONCE
from edgecam.rtc.sending.scratch import MAX_PACKETS, Scratch

MARKER = 0x80  # in the second byte
RTP_HEADER = 12  # bytes, RFC 3550 section 5.1
# What a viewer's packet has of its own: sequence number, timestamp and SSRC, two bytes into the header.
OWN_FIELDS = Struct("!HII")
OWN_FIELDS_AT = 2

# Linux takes 64 segments (UDP_MAX_SEGMENTS: as many as MAX_PACKETS) and what fits into one UDP datagram.
MAX_RUN = 64_000  # bytes
SOL_UDP, UDP_SEGMENT = 17, 103
FRESH_NS = 1_000_000  # a send time may be as old: viewers that are served one after the other share it


@dataclass(frozen=True, slots=True)
class StreamFormat:
    """What was negotiated with a viewer, as far as it shows in the bytes of its packets."""

    payload_type: int
    extensions: ExtensionIds
    mid: str
    tag_length: int  # bytes that SRTP appends
    playout: PlayoutDelay | None = None


class ViewerClass:
    """Viewers whose packets differ in OWN_FIELDS at most. One object per format and `shift`: compared and hashed by identity.

    `shift` is added to the camera's own sequence numbers: viewers must begin in the lower half of 16 bits, so that an early loss
    cannot be taken for a wrap (RFC 3711 section 3.3.1).
    """

    __slots__ = ("__weakref__", "format", "full", "plain", "shift")

    def __init__(self, stream: StreamFormat, shift: int = 0) -> None:
        self.format = stream
        self.shift = shift
        self.plain = plain_block(stream.extensions)
        self.full = full_block(stream.extensions, stream.mid, stream.playout)

    def block(self, *, full: bool) -> ExtensionBlock:
        return self.full if full else self.plain


def rtp_header(
    block: ExtensionBlock, marker: int, payload_type: int, own: tuple[int, int, int] = (0, 0, 0), capture_ntp: int = 0
) -> bytearray:
    """The fixed RTP header, with `own` for OWN_FIELDS, and its extension block, with the capture time where it has one."""
    first = 0x90 if block.data else 0x80
    header = bytearray(pack("!BBHII", first, (MARKER if marker else 0) | payload_type, *own) + block.data)
    if block.capture_time_at is not None:
        CAPTURE_TIME.pack_into(header, RTP_HEADER + block.capture_time_at, capture_ntp)
    return header


@dataclass(eq=False, slots=True)
class Run:
    """Packets that one GSO send can carry: equally long, the last one possibly shorter.

    `begin` is where they stand in the template, `stride` the length of one with its SRTP tag, `lengths` holds those
    without it as C ints. `fields` and `pointers` say where OWN_FIELDS and the packet begin in the scratch memory into
    which the run is copied.
    """

    first: int  # index of its first packet in the unit
    count: int
    begin: int
    end: int
    stride: int
    lengths: bytes
    fields: list[int]
    pointers: list[Any]
    control: list[tuple[int, int, bytes]]

    @staticmethod
    def of(first: int, lengths: list[int], tag: int, begin: int, scratch: Scratch) -> Run:
        """`lengths` are the packets', without their tags."""
        count, stride = len(lengths), lengths[0] + tag
        end = begin + sum(lengths) + count * tag
        fields = list(range(OWN_FIELDS_AT, count * stride, stride))
        control = [(SOL_UDP, UDP_SEGMENT, pack("=H", stride))]
        pointers = scratch.pointers(stride, count)
        return Run(first, count, begin, end, stride, pack(f"={count}i", *lengths), fields, pointers, control)

    def part(self, begin: int, most: int) -> Run:
        """At most so many of its packets, from number `begin` on."""
        count = min(most, self.count - begin)
        if count == self.count:
            return self
        lengths = self.lengths[4 * begin : 4 * (begin + count)]
        first, end = self.begin + begin * self.stride, min(self.end, self.begin + (begin + count) * self.stride)
        fields, pointers = self.fields[:count], self.pointers[:count]
        return Run(self.first + begin, count, first, end, self.stride, lengths, fields, pointers, self.control)


class Template:
    """All packets of a unit one after the other, each with room for its tag, cut into runs. `own` is what stands in OWN_FIELDS:
    sequence number of the first packet, timestamp, SSRC. Most viewers of a camera have the same."""

    __slots__ = ("_send_time_at", "count", "octets", "own", "runs", "stamped_ns", "view")

    def __init__(
        self,
        data: bytes,
        payloads: list[Payload],
        viewers: ViewerClass,
        *,
        full: bool,
        capture_ntp: int,
        scratch: Scratch,
        own: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        block, tag = viewers.block(full=full), viewers.format.tag_length
        header = bytes(rtp_header(block, 0, viewers.format.payload_type, capture_ntp=capture_ntp))
        room = bytes(tag)
        parts: list[bytes] = []
        lengths: list[int] = []
        for prefix, begin, end in payloads:
            parts += (header, prefix, data[begin:end], room)
            lengths.append(len(header) + len(prefix) + end - begin)
        begins = list(accumulate(lengths, lambda begin, length: begin + length + tag, initial=0))
        packets = bytearray().join(parts)
        packets[begins[-2] + 1] |= MARKER
        self.own = own
        first, timestamp, ssrc = own
        for sequence, begin in enumerate(begins[:-1], first):
            OWN_FIELDS.pack_into(packets, begin + OWN_FIELDS_AT, sequence & 0xFFFF, timestamp, ssrc)
        self.view = memoryview(packets)
        self.count = len(lengths)
        self.octets = sum(lengths) - self.count * len(header)  # of payload, as sender reports count them
        self.runs = [Run.of(first, lengths[first:end], tag, begins[first], scratch) for first, end in _cut(lengths, tag)]
        self.stamped_ns = 0
        at = block.send_time_at
        self._send_time_at = [] if at is None else [begin + RTP_HEADER + at for begin in begins[:-1]]

    @property
    def whole(self) -> bool:
        """Whether it leaves at once, by one call."""
        return len(self.runs) == 1 and self.count <= AT_ONCE

    def stamp(self, now_ns: int, clock: WallClock) -> None:
        """Write the time of sending into every packet, unless what stands there is fresh enough."""
        if now_ns - self.stamped_ns < FRESH_NS:
            return
        self.stamped_ns = now_ns
        short_ntp = clock.ntp(now_ns) >> 14 & 0xFFFFFF  # 6 bits of seconds, 18 of the fraction
        write, view, high, low = SEND_TIME.pack_into, self.view, short_ntp >> 16, short_ntp & 0xFFFF
        for at in self._send_time_at:
            write(view, at, high, low)


def _cut(lengths: list[int], tag: int) -> list[tuple[int, int]]:
    """(first, end) of the longest runs that GSO takes."""
    runs, first, last = [], 0, len(lengths)
    while first < last:
        length = lengths[first]
        end = first + 1
        most = min(last, first + min(MAX_PACKETS, MAX_RUN // (length + tag)))
        while end < most and lengths[end] == length:
            end += 1
        if end < most and lengths[end] < length:
            end += 1  # a shorter one may close the run
        runs.append((first, end))
        first = end
    return runs
