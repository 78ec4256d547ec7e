"""The bounded queue in front of aiortc's stock sender."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from edgecam.media.broadcaster import Broadcaster
from edgecam.media.feed import Convoy, Feed
from edgecam.media.types import AccessUnit
from edgecam.rtc.unitqueue import QUEUE_UNITS, UnitQueue


class Camera:
    """A fan-out without a source."""

    def __init__(self) -> None:
        self.asked = 0
        self.broadcaster = Broadcaster(self._ask)

    def attach(self, deliver: Callable[[AccessUnit], None]) -> Feed:
        return Feed(deliver, self)

    def feed_started(self, feed: Feed) -> None:
        self.broadcaster.add(feed, 0)

    def feed_wants_keyframe(self, feed: Feed) -> None:
        self._ask()

    def feed_estimates(self, feed: Feed, bps: int) -> None:
        raise AssertionError("nobody estimates here")

    def feed_switched(self, feed: Feed, before: int) -> None:
        raise AssertionError("there is one rendition here")

    def feed_joined(self, feed: Feed, convoy: Convoy) -> None:
        raise AssertionError("nobody goes together here")

    def feed_parted(self, feed: Feed) -> None:
        raise AssertionError("nobody goes together here")

    def feed_closed(self, feed: Feed) -> None:
        self.broadcaster.remove(feed)

    def _ask(self) -> None:
        self.asked += 1


def unit(index: int, *, keyframe: bool = False) -> AccessUnit:
    return AccessUnit(bytes([index % 256]), keyframe, index * 3000, index * 33_333_333, index * 33_333_333)


def drain(queue: UnitQueue) -> list[AccessUnit]:
    async def take() -> list[AccessUnit]:
        return [await queue.get() for _ in range(len(queue))]

    return asyncio.run(take())


def test_a_full_queue_drops_to_the_next_keyframe() -> None:
    camera = Camera()
    queue = UnitQueue(camera.attach)
    camera.asked = 0
    units = [unit(i, keyframe=i in {0, QUEUE_UNITS + 10}) for i in range(QUEUE_UNITS + 15)]
    for each in units:
        camera.broadcaster.publish(each)
    assert camera.asked == 1
    assert queue.feed.dropped == QUEUE_UNITS + 1
    assert drain(queue) == units[QUEUE_UNITS + 10 :], "nothing between the drop and the keyframe"


def test_waiting_for_a_unit_can_be_cancelled_and_resumed() -> None:
    async def scenario() -> AccessUnit:
        camera = Camera()
        queue = UnitQueue(camera.attach)
        waiting = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        waiting = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        camera.broadcaster.publish(unit(0, keyframe=True))
        return await asyncio.wait_for(waiting, 1)

    assert asyncio.run(scenario()).keyframe
