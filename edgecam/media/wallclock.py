"""CLOCK_MONOTONIC on the wall clock: what capture times and RTCP reports are stamped with. Pure."""

from __future__ import annotations

import time
from dataclasses import dataclass

NTP_EPOCH = 2_208_988_800  # seconds from 1900 to 1970, RFC 5905 figure 4
_READINGS = 5


@dataclass(frozen=True, slots=True)
class WallClock:
    """The wall clock as it was read once, going on with CLOCK_MONOTONIC: a step of the machine's wall clock (NTP at
    boot, a person) never moves a stream's clock. `offset_ns` is wall minus monotonic, nanoseconds since 1970."""

    offset_ns: int

    @classmethod
    def read(cls) -> WallClock:
        """Read now. Of several readings the one that was interrupted least counts."""
        readings = []
        for _ in range(_READINGS):
            before = time.monotonic_ns()
            wall = time.time_ns()
            after = time.monotonic_ns()
            readings.append((after - before, wall - (before + after) // 2))
        return cls(min(readings)[1])

    def unix_ns(self, monotonic_ns: int) -> int:
        """Nanoseconds since 1970."""
        return self.offset_ns + monotonic_ns

    def ntp(self, monotonic_ns: int) -> int:
        """64-bit NTP timestamp, UQ32.32 seconds since 1900 (RFC 5905 section 6)."""
        seconds, nanoseconds = divmod(self.offset_ns + monotonic_ns, 1_000_000_000)
        return (seconds + NTP_EPOCH & 0xFFFFFFFF) << 32 | (nanoseconds << 32) // 1_000_000_000
