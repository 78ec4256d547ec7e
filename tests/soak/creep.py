"""Whether latency grows with time: what a viewer reports, and how the end compares with the beginning."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# A queue that fills keeps every picture waiting, so that even the quickest moments get slower. What other programs do to
# two busy cores spoils some moments, never all: the floor, a low percentile of the reported medians, does not see it.
FLOOR = 0.2
CREEP_MS = 5.0


@dataclass(slots=True)
class LatencyTrace:
    """A viewer's reports, oldest first: p50 and p95 in milliseconds. A report is noted once."""

    reports: list[tuple[float, float]] = field(default_factory=list)

    def note(self, viewers: list[dict[str, Any]]) -> None:
        """Take what the one viewer that reports latency says in the daemon's status."""
        for viewer in viewers:
            report = (viewer["latency_p50_ms"], viewer["latency_p95_ms"])
            if None not in report and report != (self.reports[-1] if self.reports else None):
                self.reports.append(report)

    @property
    def floors(self) -> tuple[float, float]:
        """Of the first third and of the last. Raises ValueError when there are too few reports to tell."""
        third = len(self.reports) // 3
        if third < 5:
            raise ValueError(f"only {len(self.reports)} reports of latency")
        return _floor(self.reports[:third]), _floor(self.reports[-third:])

    @property
    def creeps(self) -> bool:
        first, last = self.floors
        return last > first + CREEP_MS

    def __str__(self) -> str:
        first, last = self.floors
        return f"latency floor {first:.1f} ms at first, {last:.1f} ms at last, in {len(self.reports)} reports"


def _floor(reports: list[tuple[float, float]]) -> float:
    return sorted(p50 for p50, _ in reports)[int(FLOOR * len(reports))]
