"""What counts against a day's bytes: what edgecam sends for its viewers, or all that some network interfaces carry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

from edgecam.governors.sysfiles import number
from edgecam.rtc.ice.traffic import SENT


class Meter(Protocol):
    def take(self) -> int:
        """Bytes since the last call."""


class SentMeter:
    """RTP, RTCP, ICE, DTLS and data channels to viewers and relays, with the headers of IP, UDP and TCP."""

    def __init__(self) -> None:
        self._before = SENT.total

    def take(self) -> int:
        before, self._before = self._before, SENT.total
        return max(0, self._before - before)


class InterfaceMeter:
    """The kernel's counters of the interfaces whose names match, both directions. What was there before the first call is
    not counted; an interface that comes later counts from its beginning, and so does one whose counters begin anew."""

    def __init__(self, root: Path, patterns: Sequence[str]) -> None:
        self._directory = root / "sys/class/net"
        self._patterns = patterns
        self._before = dict(self._read())

    def take(self) -> int:
        now = dict(self._read())
        fresh = 0
        for name, octets in now.items():
            before = self._before.get(name, 0)
            fresh += octets - before if octets >= before else octets
        self._before |= now
        return fresh

    def _read(self) -> Iterator[tuple[str, int]]:
        for interface in self._directory.glob("*"):
            if any(fnmatchcase(interface.name, pattern) for pattern in self._patterns):
                for direction in ("tx_bytes", "rx_bytes"):
                    octets = number(interface / "statistics" / direction)
                    if octets is not None:
                        yield f"{interface.name}/{direction}", octets
