"""What one viewer was sent, in numbers: its sender's own, or, while it has a place in a convoy, that convoy's until somebody asks."""

from __future__ import annotations

from edgecam.rtc.congestion import LinkEstimate
from edgecam.rtc.sending.fanout import PacketizedUnit
from edgecam.rtc.sending.history import SentPackets
from edgecam.rtc.sending.lockstep import Place
from edgecam.rtc.sending.path import Path


class Numbers:
    """`link` is told of all that is sent, and says when to be silent; it is up to date after `settle`, as the numbers always are."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.link: LinkEstimate | None = None
        self._packets = 0
        self._octets = 0
        self._sent = SentPackets()
        self._sequence = 0
        self._timestamp = -1  # of the last unit, neither wrapped nor shifted; -1 before the first one
        self._report_due_ns = 0
        self._place: Place | None = None

    @property
    def sequence(self) -> int:
        """Of the next packet, not wrapped."""
        self.settle()
        return self._sequence

    @property
    def packets(self) -> int:
        """How many were sent."""
        self.settle()
        return self._packets

    @property
    def octets(self) -> int:
        """How many of payload were sent."""
        self.settle()
        return self._octets

    @property
    def sent(self) -> SentPackets:
        """The last of them."""
        self.settle()
        return self._sent

    def settle(self) -> None:
        """Take over what the convoy has sent meanwhile."""
        if self._place is not None:
            self._place.settle()

    def go_alone(self) -> None:
        """Leave the convoy: something is to be done for this viewer that it does not do."""
        if self._place is not None:
            self._place.feed.part()

    # what the convoy calls

    def sent_meanwhile(
        self,
        units: list[tuple[int, PacketizedUnit, int]],
        bursts: list[tuple[int, float, int]],
        *,
        upcoming: int,
        timestamp: int,
        payload: int,
        octets: int,
    ) -> None:
        """What the convoy has sent: see `SentPackets.begun_meanwhile` and `Delivery.sent_meanwhile`. `upcoming`, the next sequence
        number, and `timestamp` are not wrapped; `payload` and `octets` say how many of each it was."""
        packets = upcoming - self._sequence
        self._packets += packets
        self._octets += payload
        self._sequence, self._timestamp = upcoming, timestamp
        self._sent.begun_meanwhile(units)
        self.path.sent_meanwhile(packets, octets)
        if self.link is not None:
            self.link.delivery.sent_meanwhile(bursts)

    def parted(self, report_due_ns: int) -> None:
        """The place is no longer theirs; `report_due_ns`: when the next sender report is."""
        self._place = None
        self._report_due_ns = report_due_ns
