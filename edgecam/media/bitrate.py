"""One rendition's bitrate: what its own viewers' links carry, between the rendition's floor and ceiling. Pure.

Policy: the bitrate follows the slowest viewer whose link carries nearly what the median viewer's does. A viewer with
clearly less belongs on a lower rendition and moves nobody else's picture; on the lowest rendition it has to make do.
Of two viewers the faster one is the median where there is a lower rendition for the slower, else the slower one. The
bitrate falls at once and climbs slowly.
"""

from __future__ import annotations

from collections.abc import Iterable

NEAR = 0.85  # of the median: a link that carries less does not lead
CLIMB_PER_SECOND = 1.15


def median(available_bps: Iterable[int], ceiling_bps: int, *, lowest: bool) -> int:
    """The median of what viewers' links carry, each counted as the ceiling at most; 0 when there are none."""
    known = sorted(min(bps, ceiling_bps) for bps in available_bps)
    return known[(len(known) - (1 if lowest else 0)) // 2] if known else 0


class BitratePolicy:
    """The encoder's target. Times are CLOCK_MONOTONIC seconds given by the caller, bitrates bit/s.

    `lowest`: there is no rendition below. `need_bps` is what a viewer must carry to stay here, 0 on the lowest.
    """

    __slots__ = ("_updated", "ceiling_bps", "floor_bps", "lowest", "need_bps", "target_bps")

    def __init__(self, floor_bps: int, ceiling_bps: int, *, lowest: bool = True) -> None:
        self._updated = 0.0
        self.limit(floor_bps, ceiling_bps, lowest=lowest)

    def limit(self, floor_bps: int, ceiling_bps: int, *, lowest: bool) -> None:
        """Other limits, and everything from the beginning."""
        self.floor_bps, self.ceiling_bps, self.lowest = floor_bps, ceiling_bps, lowest
        self.reset()

    def reset(self) -> None:
        """Nobody watches: whoever comes next begins at the ceiling, or at once at what it carries."""
        self.target_bps = self.ceiling_bps
        self.need_bps = 0 if self.lowest else self.floor_bps

    def bound(self, floor_bps: int, ceiling_bps: int, *, lowest: bool) -> None:
        """Other limits, and the target within them: it falls at once, and climbs from where it is."""
        self.floor_bps, self.ceiling_bps, self.lowest = floor_bps, ceiling_bps, lowest
        self.target_bps = min(max(self.target_bps, floor_bps), ceiling_bps)
        self.need_bps = 0 if lowest else max(floor_bps, min(self.need_bps, ceiling_bps))

    def update(self, available_bps: Iterable[int], now: float) -> int:
        """The new target, given what each viewer's link carries; to be called about every half second."""
        known = list(available_bps)
        elapsed = min(1.0, max(0.0, now - self._updated))
        self._updated = now
        middle = median(known, self.ceiling_bps, lowest=self.lowest)
        lead = min((bps for bps in known if bps >= NEAR * middle), default=self.ceiling_bps)
        climb = self.target_bps * CLIMB_PER_SECOND**elapsed
        self.target_bps = int(min(self.ceiling_bps, max(self.floor_bps, min(lead, climb))))
        self.need_bps = 0 if self.lowest else max(self.floor_bps, int(NEAR * middle))
        return self.target_bps
