"""How much a viewer may have sent again. NACKs are cheap to send and dear to answer (RFC 4585 section 6.2.1)."""

from __future__ import annotations

# A 3 Mbit/s stream is some 330 packets a second: whoever loses more than these cannot be helped by retransmission.
PACKETS_PER_SECOND = 500.0
BURST = 400.0  # packets; more than a whole keyframe


class RetransmissionBudget:
    """A token bucket of packets; times are CLOCK_MONOTONIC seconds."""

    def __init__(self) -> None:
        self._left = BURST
        self._updated = 0.0

    def spend(self, packets: int, now: float) -> bool:
        """Whether `packets` may be sent again now; when not, nothing is spent."""
        self._left = min(BURST, self._left + (now - self._updated) * PACKETS_PER_SECOND)
        self._updated = now
        if packets > self._left:
            return False
        self._left -= packets
        return True
