"""Fan-out of one rendition's access units to any number of viewers, without ever waiting for one of them.

After any drop a viewer gets nothing until the next keyframe: a delta whose reference is missing is not decodable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edgecam.media.feed import Convoy, Feed
from edgecam.media.types import RTP_CLOCK, AccessUnit

# A newcomer is started on the current group of pictures only while that is short: decoding a long one costs the
# viewer more time than a fresh keyframe does.
REPLAY_UNITS = 10
REPLAY_NS = 350_000_000
# Where no keyframe can be asked for, a newcomer would otherwise wait for the next one: some seconds of pictures are sooner decoded.
# More at once than this would not get through to a viewer.
WHOLE_UNITS = 300
WHOLE_BYTES = 900_000
# Whoever watches another rendition already has a picture on the screen: going back in time for longer would be seen.
SWITCH_REPLAY_NS = 100_000_000
# Replayed pictures get timestamps this close together, so that the player hurries through them instead of
# building a delay as long as the group is old.
REPLAY_SPACING = RTP_CLOCK // 1000


class Broadcaster:
    """All viewers of one rendition. `want_keyframe` is called when somebody cannot go on without one."""

    def __init__(self, want_keyframe: Callable[[], None]) -> None:
        self._want_keyframe = want_keyframe
        self._feeds: tuple[Feed, ...] = ()  # replaced, never changed: a feed may leave while a unit is handed round
        self._alone: dict[Feed, None] = {}  # those of them that are in no convoy
        self._convoys: dict[Convoy, None] = {}
        self._group: list[AccessUnit] = []  # the current group of pictures, emptied when too long to replay
        self._group_bytes = 0
        self.keyframes_on_request = True  # False: groups are replayed whole, however old
        self.last_keyframe: AccessUnit | None = None

    @property
    def feeds(self) -> tuple[Feed, ...]:
        """Those on this rendition, and those on their way to it."""
        return self._feeds

    def publish(self, unit: AccessUnit) -> None:
        """Hand a unit to every viewer; never blocks."""
        if unit.keyframe:
            self.last_keyframe = unit
            self._group, self._group_bytes = [unit], len(unit.data)
        elif self._group:
            self._group_bytes += len(unit.data)
            if self._worth_replaying(unit):
                self._group.append(unit)
            else:
                self._group = []
        # Whoever joins a convoy or leaves it meanwhile has been given the unit by where it was before.
        convoys, alone = tuple(self._convoys), tuple(self._alone)
        for convoy in convoys:
            convoy.push(unit)
        for feed in alone:
            feed.push(unit)

    def add(self, feed: Feed, now_ns: int, replay_ns: int = REPLAY_NS) -> None:
        """Start a viewer on a keyframe: the current one when its group is younger than `replay_ns`, else a new one.

        `now_ns` is CLOCK_MONOTONIC.
        """
        group = self._group
        self._feeds = (*self._feeds, feed)
        self._alone[feed] = None
        if group and (now_ns - group[0].captured_ns <= replay_ns or not self.keyframes_on_request):
            last = len(group) - 1
            for index, unit in enumerate(group):
                feed.push(replace(unit, timestamp=group[-1].timestamp - (last - index) * REPLAY_SPACING))
        else:
            self._want_keyframe()

    def _worth_replaying(self, unit: AccessUnit) -> bool:
        """Whether the group with that unit is."""
        if not self.keyframes_on_request:
            return len(self._group) < WHOLE_UNITS and self._group_bytes <= WHOLE_BYTES
        return len(self._group) < REPLAY_UNITS and unit.captured_ns - self._group[0].captured_ns <= REPLAY_NS

    def remove(self, feed: Feed) -> None:
        """Also of a feed that is not here."""
        self._feeds = tuple(other for other in self._feeds if other is not feed)
        self._alone.pop(feed, None)

    def unite(self, feed: Feed, convoy: Convoy) -> None:
        """From the next unit on the convoy hands it on to the feed."""
        del self._alone[feed]
        self._convoys[convoy] = None

    def part(self, feed: Feed) -> None:
        """Undo `unite`, once the feed has left its convoy."""
        self._alone[feed] = None
        self._convoys = {convoy: None for convoy in self._convoys if not convoy.empty}

    def discontinue(self) -> None:
        """The source broke: nothing that comes next refers to what came before."""
        self._group = []
        for feed in self._feeds:
            feed.await_keyframe()

    def erase(self) -> None:
        """Nobody is given what was made so far, and nothing of it is kept."""
        self.discontinue()
        self.last_keyframe = None

    def forget(self) -> None:
        """Nobody is given what was made so far."""
        self._group = []
