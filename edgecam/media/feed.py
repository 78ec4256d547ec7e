"""One viewer's place at a camera: units forward into a callback, needs back by method calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from edgecam.media.ladder import Placement
from edgecam.media.types import AccessUnit

EXPIRY = 10.0  # seconds after which what was said about a viewer's link is forgotten


class FeedOwner(Protocol):
    """What a feed tells its camera."""

    def feed_started(self, feed: Feed) -> None: ...
    def feed_wants_keyframe(self, feed: Feed) -> None: ...
    def feed_estimates(self, feed: Feed, bps: int) -> None: ...
    def feed_switched(self, feed: Feed, before: int) -> None: ...
    def feed_joined(self, feed: Feed, convoy: Convoy) -> None: ...
    def feed_parted(self, feed: Feed) -> None: ...
    def feed_closed(self, feed: Feed) -> None: ...


class Convoy(Protocol):
    """Feeds of one rendition that are handed every unit, by one call for all of them, as long as they are in it."""

    @property
    def empty(self) -> bool: ...
    def push(self, unit: AccessUnit) -> None: ...


class Place(Protocol):
    """A feed's place in a convoy."""

    def settle(self) -> None:
        """Tell the feed, by `passed`, what it was handed since this was last asked."""

    def leave(self) -> None:
        """Settle, and be handed nothing more."""


def _nothing(_unit: AccessUnit) -> None:
    """What a closed feed delivers to."""


class _Nobody:
    """Whom a closed feed tells: reports of a viewer may still come in while its connection is being closed."""

    def feed_started(self, feed: Feed) -> None: ...
    def feed_wants_keyframe(self, feed: Feed) -> None: ...
    def feed_estimates(self, feed: Feed, bps: int) -> None: ...
    def feed_switched(self, feed: Feed, before: int) -> None: ...
    def feed_joined(self, feed: Feed, convoy: Convoy) -> None: ...
    def feed_parted(self, feed: Feed) -> None: ...
    def feed_closed(self, feed: Feed) -> None: ...


class Feed:
    """Hands units to `deliver`, which must be quick and must not raise.

    A unit handed over is decodable by whoever took all before it: the first one is a keyframe, and so is the first one
    after `lagged()` and the first one of another rendition. Timestamps strictly increase. `delivered` and `dropped` count
    access units. `rendition` is the one that is being handed over, `destination` the one that will be from its next
    keyframe on; both count from 0, the full size.
    """

    __slots__ = ("_deliver", "_delivered", "_last_timestamp", "_owner", "_place", "available_bps", "destination", "dropped",
                 "heard", "needs_keyframe", "placement", "rendition")  # fmt: skip

    def __init__(self, deliver: Callable[[AccessUnit], None], owner: FeedOwner) -> None:
        self._delivered = 0
        self.dropped = 0
        self.rendition = 0
        self.destination = 0
        self.placement = Placement()
        self.available_bps = 0  # what the link was last said to carry; 0 before that
        self.heard = float("-inf")  # when, CLOCK_MONOTONIC seconds
        self._deliver = deliver
        self._owner = owner
        self.needs_keyframe = True
        self._last_timestamp = -1
        self._place: Place | None = None

    @property
    def delivered(self) -> int:
        if self._place is not None:
            self._place.settle()
        return self._delivered

    # what the viewer's sender calls

    def start(self) -> None:
        """Begin with a keyframe, a young one at once if there is one: `deliver` may be called before this returns."""
        self._owner.feed_started(self)

    def lagged(self, units: int = 1) -> None:
        """The viewer missed `units` of those handed over: nothing more until the next keyframe, which is asked for.

        On the way to a lower rendition that is one of the lower rendition's: the old one is too much for the link.
        """
        self.part()
        self.dropped += units
        self.needs_keyframe = True
        self._owner.feed_wants_keyframe(self)

    def request_keyframe(self) -> None:
        """The viewer cannot decode (PLI, FIR); requests of all viewers are merged."""
        self._owner.feed_wants_keyframe(self)

    def available(self, bps: int) -> None:
        """What the viewer's link carries of video now, bit/s: the link itself, not what happens to be sent.

        To be called whenever that changes, at least every few seconds, and not from within `deliver`: the rendition may
        change, and a young keyframe of the other one is handed over at once.
        """
        self._owner.feed_estimates(self, bps)

    def close(self) -> None:
        """Nothing more is delivered, also when called from within `deliver`, and nothing more is told. Idempotent."""
        self.part()
        self._deliver = _nothing
        owner, self._owner = self._owner, _Nobody()
        owner.feed_closed(self)

    def join(self, convoy: Convoy, place: Place) -> None:
        """Be handed what comes next together with others, who have been handed the same unit last."""
        self._place = place
        self._owner.feed_joined(self, convoy)

    def part(self) -> None:
        """Be handed what comes next alone. Idempotent."""
        place, self._place = self._place, None
        if place is not None:
            place.leave()
            self._owner.feed_parted(self)

    # what the convoy calls

    def passed(self, units: int, timestamp: int) -> None:
        """So many more were handed over, the last one with that timestamp."""
        self._delivered += units
        self._last_timestamp = timestamp

    # what the camera calls

    def limit(self, now: float, unlimited_bps: int) -> int:
        """What the link carries, as far as that was said lately; `unlimited_bps` otherwise."""
        return self.available_bps if now - self.heard <= EXPIRY else unlimited_bps

    # what the fan-out calls

    def push(self, unit: AccessUnit) -> None:
        if unit.rendition != self.rendition:
            if not unit.keyframe or unit.rendition != self.destination:
                return
            self.part()
            before, self.rendition = self.rendition, unit.rendition
            self.needs_keyframe = False
            self._owner.feed_switched(self, before)
        elif unit.keyframe:
            if self.needs_keyframe and self.destination > self.rendition:
                return
            self.needs_keyframe = False
        elif self.needs_keyframe:
            return
        if unit.timestamp <= self._last_timestamp:  # the same picture again, in another rendition
            unit = replace(unit, timestamp=self._last_timestamp + 1)
        self._last_timestamp = unit.timestamp
        self._delivered += 1
        self._deliver(unit)

    def await_keyframe(self) -> None:
        """Skip deltas until the next keyframe."""
        self.part()
        self.needs_keyframe = True
