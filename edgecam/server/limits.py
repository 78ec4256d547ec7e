"""What one address may use: open sockets, new ones a minute, messages and bytes a second. IPv6 counts by /64."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from edgecam.http.proxies import is_this_machine, network_of
from edgecam.http.rights import Denied
from edgecam.settings import LimitSettings

REMEMBERED = 4096  # addresses without an open socket; bounds the memory that an attacker with many of them can take
BURST_SECONDS = 4.0  # of a rate, that may come at once
TOO_MANY_SOCKETS_WAIT = 30.0  # seconds; when a place becomes free is not known
FULL_WAIT = 10.0  # seconds


class Pace:
    """A token bucket, kept as the time until which its share is spent: `rate` a second, and `burst` seconds of it at once."""

    __slots__ = ("_burst", "_clock", "_rate", "_spent_until")

    def __init__(self, rate: float, burst: float = BURST_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._spent_until = 0.0

    def spend(self, count: float = 1.0, rate: float | None = None) -> float:
        """Count so many, at another rate if one is given; the seconds to wait before more may come."""
        now = self._clock()
        self._spent_until = max(self._spent_until, now) + count / (rate or self._rate)
        return max(0.0, self._spent_until - now - self._burst)

    def has_room(self) -> float:
        """Seconds until one more would be within the rate; 0 now. Counts nothing."""
        return max(0.0, self._spent_until + 1 / self._rate - self._clock() - self._burst)

    @property
    def idle(self) -> bool:
        """Whether the whole burst is there again."""
        return self._spent_until <= self._clock()


class Visitor:
    """One address, and what it uses."""

    __slots__ = ("bytes", "joins", "messages", "open")

    def __init__(self, limits: LimitSettings, clock: Callable[[], float]) -> None:
        self.open = 0
        self.joins = Pace(limits.joins_per_minute / 60 or math.inf, 60.0, clock)
        self.messages = Pace(limits.address_messages, clock=clock)
        self.bytes = Pace(limits.camera_bytes, clock=clock)


class Visitors:
    """All addresses that have sockets open, or had some lately. This machine's own are not limited."""

    def __init__(self, limits: LimitSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._visitors: OrderedDict[str, Visitor] = OrderedDict()

    def apply(self, limits: LimitSettings) -> None:
        """Other limits, also for those who have used something of theirs already."""
        self._limits = limits

    def __len__(self) -> int:
        return len(self._visitors)

    def enter(self, remote: str) -> Visitor | Denied | None:
        """Count one more socket; None for an address that is not limited. Give what is returned to `leave`."""
        if is_this_machine(remote):
            return None
        key = network_of(remote)
        visitor = self._visitors.get(key) or Visitor(self._limits, self._clock)
        most, joins = self._limits.connections_per_address, self._limits.joins_per_minute
        if most and visitor.open >= most:
            text = f"your address has {most} connections open, which is all it may have"
            return _denied(text, "too-many-connections", TOO_MANY_SOCKETS_WAIT)
        wait = visitor.joins.has_room() if joins else 0.0
        if wait:
            return _denied(f"your address has connected {joins} times within a minute, which is all it may", "too-many-joins", wait)
        visitor.joins.spend()
        visitor.open += 1
        self._visitors[key] = visitor
        self._visitors.move_to_end(key)
        self._forget()
        return visitor

    def leave(self, visitor: Visitor | None) -> None:
        """A socket that `enter` counted is closed."""
        if visitor is not None:
            visitor.open -= 1

    def _forget(self) -> None:
        """The addresses seen longest ago go first, those with open sockets never."""
        for key in list(self._visitors)[: max(0, len(self._visitors) - REMEMBERED)]:
            if not self._visitors[key].open:
                del self._visitors[key]


def full() -> Denied:
    """The server as a whole has no room."""
    return _denied("the server has as many clients as it may have", "full", FULL_WAIT)


def _denied(message: str, code: str, wait: float) -> Denied:
    return Denied(f"{message}; try again in {math.ceil(wait)} s", code, wait)
