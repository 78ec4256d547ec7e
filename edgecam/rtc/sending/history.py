"""What one viewer was sent last: enough to find a packet again by its sequence number."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from edgecam.media.packetize import Payload
from edgecam.rtc.sending.fanout import PacketizedUnit

# Eight seconds at 30 units a second. The bytes are the camera's, this is some 30 kB a viewer.
UNITS = 256


@dataclass(frozen=True, slots=True)
class SentPacket:
    """A packet that a viewer was sent, in the parts from which it can be made again. `sequence` is not wrapped."""

    sequence: int
    timestamp: int
    marker: int
    unit: PacketizedUnit
    payload: Payload


class SentPackets:
    """Sequence numbers are extended here: they count on beyond 16 bits, and the caller says where they stand now."""

    __slots__ = ("_units",)

    def __init__(self) -> None:
        self._units: deque[tuple[int, PacketizedUnit, int]] = deque(maxlen=UNITS)

    def begun(self, sequence: int, unit: PacketizedUnit, timestamp: int) -> None:
        """A unit's first packet has that sequence number, all have that RTP timestamp."""
        self._units.append((sequence, unit, timestamp))

    def begun_meanwhile(self, units: list[tuple[int, PacketizedUnit, int]]) -> None:
        """What calling `begun` with each of these would have done."""
        self._units.extend(units)

    def find(self, number: int, upcoming: int) -> SentPacket | None:
        """The packet with the 16-bit sequence number `number`, `upcoming` being the next extended one; None when it was
        never sent or is forgotten."""
        back = (upcoming - number) & 0xFFFF
        sequence = upcoming - back
        if back == 0:
            return None
        for first, unit, timestamp in reversed(self._units):
            if first <= sequence:
                index, payloads = sequence - first, unit.payloads
                if index >= len(payloads) or not unit.data:
                    return None
                return SentPacket(sequence, timestamp, index == len(payloads) - 1, unit, payloads[index])
        return None

    def newest(self, upcoming: int, count: int) -> list[SentPacket]:
        """At most `count` packets, the last ones that were sent."""
        found = (self.find((upcoming - back) & 0xFFFF, upcoming) for back in range(1, count + 1))
        return [packet for packet in found if packet is not None]
