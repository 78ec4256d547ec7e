"""How much a viewer may have sent again. NACKs are cheap to send and dear to answer (RFC 4585 section 6.2.1)."""

from __future__ import annotations

from collections.abc import Iterable

# A 3 Mbit/s stream is some 330 packets a second: whoever loses more than these cannot be helped by retransmission.
PACKETS_PER_SECOND = 500.0
BURST = 400.0  # packets; more than a whole keyframe
# A viewer asks again when the answer has not come within its round trip. Asked for earlier than that, a packet is on
# its way already; the bounds are for viewers whose round trip is not known, or not believable.
SHORTEST_WAIT = 0.010  # seconds
LONGEST_WAIT = 0.100
REMEMBERED = 1024  # packets sent again lately


class RetransmissionBudget:
    """One viewer's token bucket of packets; times are CLOCK_MONOTONIC seconds.

    `repeated` and `refused` count sequence numbers not granted: asked for while their answer was on its way, and
    beyond the budget.
    """

    __slots__ = ("_left", "_sent", "_updated", "refused", "repeated")

    def __init__(self) -> None:
        self.repeated = 0
        self.refused = 0
        self._left = BURST
        self._updated = 0.0
        self._sent: dict[int, float] = {}  # when, by sequence number; oldest first

    def grant(self, sequence_numbers: Iterable[int], now: float, round_trip: float = LONGEST_WAIT) -> list[int]:
        """Those of the packets asked for that may be sent again now, each once; they are paid for."""
        wait = min(max(round_trip, SHORTEST_WAIT), LONGEST_WAIT)
        self._refill(now)
        sent, granted = self._sent, []
        for number in sequence_numbers:
            if now - sent.get(number, -wait) < wait:
                self.repeated += 1
            elif self._left < 1:
                self.refused += 1
            else:
                self._left -= 1
                sent.pop(number, None)  # to stand last again
                sent[number] = now
                granted.append(number)
        while len(sent) > REMEMBERED:
            del sent[next(iter(sent))]
        return granted

    def spend(self, packets: int, now: float) -> bool:
        """Whether `packets` may be sent again now; when not, nothing is spent."""
        self._refill(now)
        if packets > self._left:
            self.refused += packets
            return False
        self._left -= packets
        return True

    def _refill(self, now: float) -> None:
        self._left = min(BURST, self._left + (now - self._updated) * PACKETS_PER_SECOND)
        self._updated = now
