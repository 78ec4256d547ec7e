"""What was sent to the viewers of a camera that have left: with those that are there, counters that never go back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Totals:
    """One per camera. `bytes` are RTP payload, padding and what was sent again included."""

    sessions: int = 0
    packets: int = 0
    bytes: int = 0
    units: int = 0
    lost_packets: int = 0
    dropped_units: int = 0

    def add(self, stats: dict[str, Any], *, units: int, lost: int, dropped: int) -> None:
        """A session that ends; `stats` are its sender's, by type, empty when it never sent."""
        outbound = stats.get("outbound-rtp")
        if outbound is None:
            return
        self.sessions += 1
        self.packets += outbound.packetsSent
        self.bytes += outbound.bytesSent
        self.units += units
        self.lost_packets += lost
        self.dropped_units += dropped
