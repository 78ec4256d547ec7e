"""What of the sent stream has arrived, how fast, and how long it waits on the way, told from plain receiver reports.

A report block names the highest sequence number received (RFC 3550 section 6.4.1). With the time at which each packet
left, that is an acknowledgement: everything sent before it has left the path's queue, retransmissions too.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

CHECKPOINTS = 400  # bursts remembered; at 30 units a second thirteen seconds, where reports come each second
BASE_WINDOW = 15.0  # seconds for which a shortest round trip is believed, and at most twice that
RATE_WINDOW = 0.6  # seconds of reports from which the arriving rate is told
LARGEST_BURST = 512  # packets that one checkpoint may stand for
LEAST_INTERVAL = 0.05  # seconds; reports closer together than that say no more than one of them


@dataclass(frozen=True, slots=True)
class Arrival:
    """A report: when it came; octets and packets sent until the packet that it names; packets lost of these."""

    at: float
    octets: int
    packets: int
    lost: int


class Delivery:
    """Times are CLOCK_MONOTONIC seconds, octets are those of UDP datagrams with everything that is sent.

    `overdue` is how long the oldest packet that should have been acknowledged is late, in seconds: the queueing delay of the
    path. `round_trip` is the shortest one lately.
    """

    __slots__ = (
        "_acknowledged",
        "_base",
        "_base_before",
        "_base_since",
        "_checkpoints",
        "_excess",
        "_heard_until",
        "_octets",
        "_repairs",
        "_repairs_lost",
        "_sequence",
        "arrivals",
        "overdue",
    )

    def __init__(self) -> None:
        self.overdue = 0.0
        self.arrivals: deque[Arrival] = deque()
        self._checkpoints: deque[tuple[int, float, int]] = deque(
            maxlen=CHECKPOINTS
        )  # (upcoming sequence, when, octets)
        self._repairs = self._repairs_lost = 0  # packets of the retransmission stream
        self._sequence = 0  # the upcoming one, extended
        self._octets = 0
        self._acknowledged = -1  # highest extended sequence number received
        self._base = self._base_before = float("inf")
        self._base_since = 0.0
        self._heard_until = 0.0  # when our last sender report that has arrived was sent
        self._excess = 0.0  # seconds by which its round trip was longer than the shortest one

    @property
    def octets(self) -> int:
        """All that were sent."""
        return self._octets

    @property
    def round_trip(self) -> float | None:
        base = min(self._base, self._base_before)
        return base if base != float("inf") else None

    @property
    def outstanding(self) -> int:
        """Octets sent and not acknowledged."""
        return self._octets - self.arrivals[-1].octets if self.arrivals else 0

    def sent(self, upcoming: int, octets: int, now: float) -> None:
        """A burst left; `upcoming` is the next extended sequence number, `octets` all that were sent so far."""
        self._sequence, self._octets = upcoming, octets
        points = self._checkpoints
        if points and points[-1][0] == upcoming:
            # Padding, or repairs, that no report tells from what left before. Only the time of that tells how long the way is.
            points[-1] = (upcoming, points[-1][1], octets)
        else:
            points.append((upcoming, now, octets))

    def sent_meanwhile(self, bursts: list[tuple[int, float, int]]) -> None:
        """What calling `sent` with each of these would have done; there is one at least, and all carried packets of the stream."""
        self._sequence, _, self._octets = bursts[-1]
        self._checkpoints.extend(bursts)

    def measured(self, round_trip: float, held: float, now: float) -> None:
        """A round trip that the viewer's report gave away (LSR, DLSR); it held our report for `held` seconds meanwhile."""
        self._shorten(round_trip, now)
        self._heard_until = now - held - round_trip
        self._excess = round_trip - (self.round_trip or 0.0)

    def repaired(self, highest: int, lost: int) -> None:
        """A report block about the retransmissions, padding included; to come before that about the stream."""
        self._repairs, self._repairs_lost = highest, lost

    def acknowledge(self, highest: int, lost: int, now: float) -> bool:
        """A report block. Returns whether it told anything new; one about packets that were never sent does not."""
        if self.arrivals and now - self.arrivals[-1].at < LEAST_INTERVAL:
            return False
        behind = (self._sequence - 1 - highest) & 0xFFFF
        acknowledged = self._sequence - 1 - behind
        points = self._checkpoints
        if not points or acknowledged < self._acknowledged or behind > self._sequence - points[0][0] + LARGEST_BURST:
            return False
        octets = points[0][2]
        left = points[0][1]
        before = points[0]
        while points and points[0][0] <= acknowledged + 1:
            before = points.popleft()
            octets, left = before[2], before[1]
        if points and before[0] < acknowledged + 1:  # it arrived as part of a burst
            upcoming, left, total = points[0]
            octets += (total - octets) * (acknowledged + 1 - before[0]) // max(1, upcoming - before[0])
        if acknowledged > self._acknowledged:
            self._shorten(now - left, now)
        first_missing = points[0][1] if points else None
        if len(points) < CHECKPOINTS:
            points.appendleft((acknowledged + 1, left, octets))
        self._acknowledged = acknowledged
        base = self.round_trip or 0.0
        self.overdue = max(0.0, now - first_missing - base) if first_missing is not None else 0.0
        if first_missing is not None and self._heard_until > first_missing + LEAST_INTERVAL:
            # Our report overtakes nothing: what was sent before it waits nowhere, whatever the viewer counts.
            self.overdue = min(self.overdue, self._excess)
        self.arrivals.append(Arrival(now, octets, acknowledged + self._repairs, lost + self._repairs_lost))
        while len(self.arrivals) > 2 and now - self.arrivals[1].at >= RATE_WINDOW:
            self.arrivals.popleft()
        return True

    def rebase(self) -> None:
        """What is late now is how long the way is now."""
        self._base = self._base_before = (self.round_trip or 0.0) + self.overdue
        self.overdue = 0.0

    def rate(self, since: float = 0.0) -> float:
        """bit/s that arrived, from the reports of the last RATE_WINDOW, or of those since `since`; 0 when too few."""
        first = next((a for a in self.arrivals if a.at >= since), None)
        last = self.arrivals[-1] if self.arrivals else None
        if first is None or last is None or last.at - first.at < LEAST_INTERVAL:
            return 0.0
        return (last.octets - first.octets) * (1 - self.loss(since)[0]) * 8 / (last.at - first.at)

    def loss(self, since: float = 0.0) -> tuple[float, int]:
        """(share lost 0..1, packets that says so) over the same reports."""
        first = next((a for a in self.arrivals if a.at >= since), None)
        if first is None:
            return 0.0, 0
        last = self.arrivals[-1]
        packets = last.packets - first.packets
        return (min(1.0, max(0.0, (last.lost - first.lost) / packets)), packets) if packets > 0 else (0.0, 0)

    def _shorten(self, round_trip: float, now: float) -> None:
        if now - self._base_since > BASE_WINDOW:
            self._base_before, self._base, self._base_since = self._base, round_trip, now
        self._base = min(self._base, round_trip)
