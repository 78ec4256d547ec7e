"""The fan-out: order, bounds, and that one slow viewer costs nobody else anything."""

from __future__ import annotations

import time

from edgecam.media.broadcaster import REPLAY_NS, REPLAY_UNITS, Broadcaster
from edgecam.media.feed import Convoy, Feed
from edgecam.media.types import AccessUnit

FRAME = 3000  # 90 kHz ticks


class Asked:
    """Counts keyframe requests."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def unit(index: int, *, keyframe: bool = False, at: int = 0) -> AccessUnit:
    captured = at + index * 33_333_333
    return AccessUnit(bytes([index % 256]), keyframe, index * FRAME, captured, captured)


class Viewer:
    """A feed and what it delivered."""

    def __init__(self, broadcaster: Broadcaster, asked: Asked, now_ns: int = 0) -> None:
        self.got: list[AccessUnit] = []
        self.asked = asked
        self.feed = Feed(self.got.append, self)
        self._broadcaster, self._now_ns = broadcaster, now_ns
        self.feed.start()

    def feed_started(self, feed: Feed) -> None:
        self._broadcaster.add(feed, self._now_ns)

    def feed_wants_keyframe(self, feed: Feed) -> None:
        self.asked()

    def feed_estimates(self, feed: Feed, bps: int) -> None:
        raise AssertionError("nobody estimates here")

    def feed_switched(self, feed: Feed, before: int) -> None:
        raise AssertionError("there is one rendition here")

    def feed_joined(self, feed: Feed, convoy: Convoy) -> None:
        raise AssertionError("nobody goes together here")

    def feed_parted(self, feed: Feed) -> None:
        raise AssertionError("nobody goes together here")

    def feed_closed(self, feed: Feed) -> None:
        self._broadcaster.remove(feed)


def test_a_viewer_gets_every_unit_in_order() -> None:
    broadcaster = Broadcaster(Asked())
    viewer = Viewer(broadcaster, Asked())
    units = [unit(i, keyframe=i == 0) for i in range(5)]
    for each in units:
        broadcaster.publish(each)
    assert viewer.got == units


def test_a_viewer_never_starts_on_a_delta() -> None:
    asked = Asked()
    broadcaster = Broadcaster(asked)
    viewer = Viewer(broadcaster, asked)
    assert asked.count == 1
    for i in range(3):
        broadcaster.publish(unit(i))
    assert not viewer.got
    broadcaster.publish(unit(3, keyframe=True))
    assert [u.keyframe for u in viewer.got] == [True]


def test_a_newcomer_starts_at_once_on_a_young_group_without_asking_for_a_keyframe() -> None:
    asked = Asked()
    broadcaster = Broadcaster(asked)
    now = time.monotonic_ns()
    for i in range(3):
        broadcaster.publish(unit(i, keyframe=i == 0, at=now))
    got = Viewer(broadcaster, asked, now + 100_000_000).got
    assert asked.count == 0
    assert [u.data for u in got] == [b"\0", b"\1", b"\2"]
    stamps = [u.timestamp for u in got]
    assert stamps[-1] == 2 * FRAME, "the last one keeps its time, so that live units follow smoothly"
    assert stamps == sorted(stamps)
    assert stamps[-1] - stamps[0] < FRAME, "the older ones are hurried, or the player would lag by the group's age"


def test_an_old_or_long_group_is_not_replayed() -> None:
    for count, age in ((REPLAY_UNITS + 2, 0), (1, REPLAY_NS + 1)):
        asked = Asked()
        broadcaster = Broadcaster(asked)
        for i in range(count):
            broadcaster.publish(unit(i, keyframe=i == 0))
        assert not Viewer(broadcaster, asked, age).got
        assert asked.count == 1


def test_a_lagging_viewer_waits_for_the_next_keyframe_and_the_other_misses_nothing() -> None:
    asked = Asked()
    broadcaster = Broadcaster(asked)
    slow, prompt = Viewer(broadcaster, asked), Viewer(broadcaster, asked)
    asked.count = 0
    units = [unit(i, keyframe=i in {0, 10}) for i in range(15)]
    for each in units:
        broadcaster.publish(each)
        if each is units[4]:
            slow.feed.lagged(2)
    assert prompt.got == units
    assert asked.count == 1, "the slow one asked for a keyframe, once"
    assert slow.feed.dropped == 2
    assert slow.got == units[:5] + units[10:], "nothing between the drop and the keyframe"


def test_a_viewer_may_leave_while_a_unit_is_handed_round() -> None:
    broadcaster = Broadcaster(Asked())
    leaving, staying = Viewer(broadcaster, Asked()), Viewer(broadcaster, Asked())
    broadcaster.publish(unit(0, keyframe=True))
    leaving.feed.close()
    leaving.feed.close()
    broadcaster.publish(unit(1))
    assert (len(leaving.got), len(staying.got), len(broadcaster.feeds)) == (1, 2, 1)


def test_after_the_source_broke_nothing_but_a_keyframe_comes_next() -> None:
    broadcaster = Broadcaster(Asked())
    viewer = Viewer(broadcaster, Asked())
    broadcaster.publish(unit(0, keyframe=True))
    broadcaster.discontinue()
    broadcaster.publish(unit(1))
    broadcaster.publish(unit(2, keyframe=True))
    assert [u.keyframe for u in viewer.got] == [True, True]
