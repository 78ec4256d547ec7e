"""When pictures that come over a network were captured, on this machine's clock."""

from __future__ import annotations

# How fast the estimate may rise when packets come later and later: far above what two quartz clocks differ by (100 ppm),
# far below what queues do.
LEAK = 500e-6
# A sender's clock that jumps by more than this has been set, or its stream began anew.
JUMP_NS = 2_000_000_000


class ArrivalClock:
    """Maps a sender's media time to CLOCK_MONOTONIC, as if every picture had taken the quickest way.

    The quickest picture of late tells by how much the two clocks differ; what a slower one was late is the network's doing and
    no part of its time. So pictures are evenly spaced though they arrive in bursts, and two clocks that drift apart are
    followed. Times never go back.
    """

    def __init__(self) -> None:
        self._offset_ns: float | None = None  # arrival less media time, of the quickest
        self._last_arrival_ns = 0
        self._last_ns = 0

    def captured_ns(self, media_ns: int | None, arrival_ns: int) -> int:
        """Of a picture with that media time (None: it has none) that arrived just now."""
        if media_ns is None:
            self._last_ns = max(self._last_ns + 1, arrival_ns)
            return self._last_ns
        offset = arrival_ns - media_ns
        if self._offset_ns is None or abs(offset - self._offset_ns) > JUMP_NS:
            self._offset_ns = offset
        else:
            risen = self._offset_ns + LEAK * (arrival_ns - self._last_arrival_ns)
            self._offset_ns = min(offset, risen)
        self._last_arrival_ns = arrival_ns
        self._last_ns = max(self._last_ns + 1, min(arrival_ns, round(media_ns + self._offset_ns)))
        return self._last_ns
