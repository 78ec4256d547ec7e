"""The fan-out: order, bounds, and that one slow viewer costs nobody else anything."""

from __future__ import annotations

import asyncio
import time

from edgecam.media.broadcaster import QUEUE_UNITS, REPLAY_NS, REPLAY_UNITS, Broadcaster
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


def drain(subscription: object, count: int) -> list[AccessUnit]:
    async def take() -> list[AccessUnit]:
        return [await subscription.get() for _ in range(count)]  # type: ignore[attr-defined]

    return asyncio.run(take())


def test_a_viewer_gets_every_unit_in_order() -> None:
    broadcaster = Broadcaster(Asked())
    viewer = broadcaster.subscribe(0)
    units = [unit(i, keyframe=i == 0) for i in range(5)]
    for each in units:
        broadcaster.publish(each)
    assert drain(viewer, 5) == units


def test_a_viewer_never_starts_on_a_delta() -> None:
    asked = Asked()
    broadcaster = Broadcaster(asked)
    viewer = broadcaster.subscribe(0)
    assert asked.count == 1
    for i in range(3):
        broadcaster.publish(unit(i))
    assert len(viewer) == 0
    broadcaster.publish(unit(3, keyframe=True))
    assert drain(viewer, 1)[0].keyframe


def test_a_newcomer_starts_at_once_on_a_young_group_without_asking_for_a_keyframe() -> None:
    asked = Asked()
    broadcaster = Broadcaster(asked)
    now = time.monotonic_ns()
    for i in range(3):
        broadcaster.publish(unit(i, keyframe=i == 0, at=now))
    viewer = broadcaster.subscribe(now + 100_000_000)
    got = drain(viewer, 3)
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
        viewer = broadcaster.subscribe(age)
        assert len(viewer) == 0
        assert asked.count == 1


def test_a_lagging_viewer_drops_to_the_next_keyframe_and_the_other_misses_nothing() -> None:
    asked = Asked()
    broadcaster = Broadcaster(asked)
    slow, prompt = broadcaster.subscribe(0), broadcaster.subscribe(0)
    asked.count = 0
    seen: list[AccessUnit] = []
    units = [unit(i, keyframe=i in {0, QUEUE_UNITS + 10}) for i in range(QUEUE_UNITS + 15)]
    for each in units:
        broadcaster.publish(each)
        seen += drain(prompt, 1)
    assert seen == units
    assert asked.count == 1, "the slow one asked for a keyframe, once"
    assert slow.dropped == QUEUE_UNITS + 1
    left = drain(slow, len(slow))
    assert left == units[QUEUE_UNITS + 10 :], "nothing between the drop and the keyframe"


def test_after_the_source_broke_nothing_but_a_keyframe_comes_next() -> None:
    broadcaster = Broadcaster(Asked())
    viewer = broadcaster.subscribe(0)
    broadcaster.publish(unit(0, keyframe=True))
    broadcaster.discontinue()
    broadcaster.publish(unit(1))
    broadcaster.publish(unit(2, keyframe=True))
    assert [u.keyframe for u in drain(viewer, len(viewer))] == [True, True]


def test_waiting_for_a_unit_can_be_cancelled_and_resumed() -> None:
    async def scenario() -> AccessUnit:
        broadcaster = Broadcaster(Asked())
        viewer = broadcaster.subscribe(0)
        waiting = asyncio.create_task(viewer.get())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        waiting = asyncio.create_task(viewer.get())
        await asyncio.sleep(0)
        broadcaster.publish(unit(0, keyframe=True))
        return await asyncio.wait_for(waiting, 1)

    assert asyncio.run(scenario()).keyframe
