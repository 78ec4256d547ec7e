"""The shared encoder's bitrate: what viewers' bandwidth estimates ask for, between a floor and a ceiling. Pure.

Policy: the target follows the *median* estimate (the lower one of two), so that one viewer on a bad link moves
nobody else's picture once there are three; it falls at once and climbs slowly. An estimate is not believed during a
viewer's first seconds: browsers open with a guess (Chromium: 93 kbit/s) that says nothing about the link. An
estimate that is well above what is really being sent does not limit: receivers cap theirs near 1.5 times of what
they receive (draft-alvestrand-rmcat-remb), so on a quiet scene it would otherwise hold the encoder down.
"""

from __future__ import annotations

from dataclasses import dataclass, field

OPENING = 3.0  # seconds in which a newcomer's estimates are noted but not followed
CLIMB_PER_SECOND = 1.15
UNLIMITED_FACTOR = 1.25  # an estimate this far above the sent bitrate means: the link is not the limit
SAFETY = 0.9  # of the estimate is spent on video; the rest is headers and retransmissions
EXPIRY = 10.0  # seconds after which an estimate that was not repeated is forgotten


@dataclass(slots=True)
class _Estimate:
    joined: float
    bps: int = 0
    heard: float = 0.0


@dataclass(slots=True)
class BitratePolicy:
    """Merges estimates; times are CLOCK_MONOTONIC seconds given by the caller, bitrates bit/s."""

    floor_bps: int
    ceiling_bps: int
    target_bps: int = 0
    _estimates: dict[object, _Estimate] = field(default_factory=dict)
    _updated: float = 0.0

    def __post_init__(self) -> None:
        self.target_bps = self.target_bps or self.ceiling_bps

    def join(self, viewer: object, now: float) -> None:
        self._estimates[viewer] = _Estimate(joined=now)

    def leave(self, viewer: object) -> None:
        self._estimates.pop(viewer, None)

    def estimate(self, viewer: object, bps: int, now: float) -> None:
        """Note a viewer's estimate (REMB); ignored for viewers that have not joined."""
        known = self._estimates.get(viewer)
        if known is not None:
            known.bps, known.heard = bps, now

    def update(self, now: float, sent_bps: float) -> int:
        """The new target, given what the encoder really makes; call about once a second or on every estimate."""
        elapsed = min(1.0, max(0.0, now - self._updated))
        self._updated = now
        believed = sorted(
            e.bps for e in self._estimates.values() if now - e.joined >= OPENING and now - e.heard <= EXPIRY and e.bps > 0
        )
        wanted = float(self.ceiling_bps)
        if believed:
            median = believed[(len(believed) - 1) // 2]
            if median < sent_bps * UNLIMITED_FACTOR or median * SAFETY >= self.target_bps:
                wanted = median * SAFETY
            # else: the encoder makes little right now and the estimate merely mirrors that; climbing is safe
        climb = self.target_bps * CLIMB_PER_SECOND**elapsed
        self.target_bps = int(min(self.ceiling_bps, max(self.floor_bps, min(wanted, climb))))
        return self.target_bps
