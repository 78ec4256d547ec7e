"""How long units wait in the daemon: from their arrival until a viewer's last packet was handed to the kernel."""

from __future__ import annotations

from typing import Any

BUCKET_NS = 250_000
BUCKETS = 400  # the last one holds whatever took 100 ms and more
LIMITS_MS = (0.25, 0.5, 1, 2, 5, 10, 20, 50)
_LAST = BUCKETS - 1


class SendDelays:
    """A histogram with buckets of a quarter of a millisecond, one entry per unit and viewer."""

    __slots__ = ("buckets", "total_ns")

    def __init__(self) -> None:
        self.buckets = [0] * BUCKETS
        self.total_ns = 0

    def observe(self, delay_ns: int) -> None:
        self.total_ns += delay_ns
        self.buckets[min(delay_ns // BUCKET_NS, _LAST)] += 1

    def observe_evenly(self, first_ns: int, last_ns: int, entries: int) -> None:
        """Entries that grow evenly, from just above `first_ns` up to `last_ns`: a unit that was given to one viewer after the other."""
        if not entries:
            return
        span = max(1, last_ns - first_ns)
        self.total_ns += entries * first_ns + span * (entries + 1) // 2
        bucket, entered = first_ns // BUCKET_NS, 0
        while entered < entries:
            bucket += 1
            below = min(entries, (bucket * BUCKET_NS - first_ns) * entries // span)
            self.buckets[min(bucket - 1, _LAST)] += below - entered
            entered = below

    @property
    def count(self) -> int:
        return sum(self.buckets)

    def percentile(self, share: float) -> float | None:
        """Upper edge, milliseconds, of the bucket in which that share (0..1) of all entries is reached."""
        count = self.count
        reached = 0
        for index, entries in enumerate(self.buckets):
            reached += entries
            if count and reached >= share * count:
                return (index + 1) * BUCKET_NS / 1e6
        return None

    def as_dict(self) -> dict[str, Any]:
        """For status and metrics; `up_to_ms` is a list of (limit in ms, entries of at most that delay)."""
        p50, p95 = self.percentile(0.5), self.percentile(0.95)
        up_to = [(limit, self.up_to(limit)) for limit in LIMITS_MS]
        return {"count": self.count, "sum_ms": round(self.total_ns / 1e6, 1), "p50_ms": p50, "p95_ms": p95, "up_to_ms": up_to}

    def up_to(self, milliseconds: float) -> int:
        """Entries of at most that delay: a cumulative bucket as Prometheus wants it."""
        return sum(self.buckets[: int(milliseconds * 1e6 // BUCKET_NS)])
