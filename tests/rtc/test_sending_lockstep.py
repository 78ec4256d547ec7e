"""Viewers that are served together: what each gets and counts is what it would alone."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

import pytest

from edgecam.media.types import AccessUnit
from edgecam.media.wallclock import WallClock
from edgecam.rtc.congestion import LinkEstimate
from edgecam.rtc.sending.fanout import FanOut
from edgecam.rtc.sending.lockstep import LOG, MOST
from edgecam.rtc.sending.pacer import AT_ONCE
from tests.rtc.sending_scene import (
    Arrived,
    Camera,
    Link,
    clogged,
    drained,
    expected,
    link,
    listening,
    pair_from,
    pair_to,
    start,
    unit,
    units_of,
)


async def crowd(stack: AsyncExitStack, viewers: int) -> tuple[Camera, list[Link]]:
    """Viewers of one camera that have all been sent a keyframe, and one unit more."""
    fanout, camera = FanOut(WallClock.read()), Camera()
    found = [await stack.enter_async_context(link(fanout=fanout, camera=camera)) for _ in range(viewers)]
    for viewer in found:
        viewer.sender.link = LinkEstimate(4_000_000, time.monotonic())
        start(viewer)
    for each in (unit(0, 500, keyframe=True), unit(1, 3000)):
        camera.broadcaster.publish(each)
    for viewer in found:
        viewer.receive()
    return camera, found


def convoys(viewer: Link) -> list[int]:
    """How many there are in each."""
    return [len(convoy._members) for convoy in viewer.sender.fanout.lockstep._convoys if not convoy.empty]


def counted(viewer: Link) -> tuple[Any, ...]:
    """Everything that is known of what it was sent."""
    sender = viewer.sender
    assert sender.feed is not None
    assert sender.link is not None
    numbers = sender.sequence, sender.packets, sender.octets, sender._timestamp, sender.feed.delivered, sender.feed._last_timestamp
    delivery = sender.link.delivery
    bursts = [(upcoming, octets) for upcoming, _, octets in delivery._checkpoints]
    return *numbers, list(sender.sent._units), bursts, delivery.octets, sender.path.octets, sender.path.on_the_wire


def test_a_convoy_sends_and_counts_what_each_viewers_own_sender_would() -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            camera, (together, other, alone) = await crowd(stack, 3)
            units = [unit(index, 700 * (index % 12) + 100) for index in range(2, LOG + 40)]
            for index, each in enumerate(units):
                alone.sender.go_alone()
                camera.broadcaster.publish(each)
                if index % 50 == 49:  # sockets take so much
                    assert units_of(together.receive().media) == units_of(other.receive().media)
            assert convoys(together) == [3]
            assert together.sender._place is not None
            assert counted(together) == counted(alone)
            for viewer in (together, other):
                viewer.receive()
                viewer.repair.answer([viewer.sender.sequence - 3 & 0xFFFF])
                assert len(viewer.receive().repeated) == 1
            assert together.sender.fanout.delays.count == 3 * (len(units) + 2)

    asyncio.run(scenario())


def test_a_viewer_that_must_be_treated_otherwise_leaves_and_the_others_notice_nothing() -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            camera, (full, moved, limited, skipping, steady) = await crowd(stack, 5)
            assert convoys(steady) == [5]
            open_road, clog = full.pairs[1], pair_from(*clogged())
            full.pairs[1] = clog
            elsewhere = stack.enter_context(listening())
            other = moved.pairs[1] = pair_to(elsewhere)
            limited.sender.pacing_bps = 100_000_000
            skipping.sender.skip()
            assert convoys(steady) == [3]
            units = [unit(index, 14_000) for index in range(2, 60)]
            for each in units:
                camera.broadcaster.publish(each)
                await drained(limited)
            assert units_of(steady.receive().media) == expected(units)
            assert units_of(limited.receive().media) == expected(units)
            assert units_of(moved.receive(receiving=elsewhere).media) == expected(units)
            assert skipping.receive().media == []
            assert full.sender.feed is not None
            assert full.sender.feed.dropped == 1, "after the first one nothing is tried"
            assert convoys(steady) == [2]
            full.pairs[1] = open_road
            keyframe = unit(90, 3000, keyframe=True)
            camera.broadcaster.publish(keyframe)
            for viewer in (skipping, steady):
                assert units_of(viewer.receive().media) == expected([keyframe])
            # What was encrypted and not taken left no gap: the keyframe has the numbers that come next.
            packets = full.receive().media
            assert packets[-1].sequence_number == full.sender.sequence - 1 & 0xFFFF
            assert full.broken == skipping.broken == steady.broken == []
            await clog.protocol.close()
            await other.protocol.close()

    asyncio.run(scenario())


def test_a_viewer_whose_packets_cannot_be_encrypted_ends_alone() -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            camera, (broken, steady) = await crowd(stack, 2)
            convoy = steady.sender.fanout.lockstep._convoys[0]
            place = broken.sender._place
            assert place is not None
            convoy._members[place] = (place, convoy._members[place][1], iter([None]))  # libsrtp takes no such context
            srtp, broken.sender.srtp = broken.sender.srtp, None  # type: ignore[assignment]
            camera.broadcaster.publish(unit(2, 3000))
            broken.sender.srtp = srtp
            assert [reason.split(" (")[0] for reason in broken.broken] == ["sending failed"]
            assert broken.receive().media == []
            assert units_of(steady.receive().media) == expected([unit(2, 3000)])
            assert steady.broken == []

    asyncio.run(scenario())


def test_a_keyframe_leaves_in_the_same_steps_for_all() -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            camera, viewers = await crowd(stack, MOST + 3)
            first, *_, alone = viewers
            arrived = Arrived()
            units = [unit(2, 70_000, keyframe=True), unit(3, 3000), unit(4, 250_000, keyframe=True), unit(5, 3000)]
            for number, each in enumerate(units, 1):
                alone.sender.go_alone()
                camera.broadcaster.publish(each)
                assert sum(convoys(alone)) == MOST + 2 + (not each.keyframe)
                if each.keyframe:
                    before = len(arrived.media)
                    assert len(first.receive(arrived).media) - before == AT_ONCE
                    assert first.sender.waiting_packets == alone.sender.waiting_packets > 0
                for viewer in viewers:
                    await drained(viewer)
                first.receive(arrived)
                assert first.sender.fanout.delays.count == len(viewers) * (2 + number)
            assert counted(first) == counted(alone)
            for viewer in viewers:
                assert units_of((arrived if viewer is first else viewer.receive()).media) == expected(units)
                viewer.sender.close()
            assert convoys(first) == []
            assert camera.broadcaster.feeds == ()

    asyncio.run(scenario())


def test_whoever_leaves_in_the_middle_of_a_keyframe_takes_the_rest_along() -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            camera, (leaving, limited, full, closed, skipping, steady) = await crowd(stack, 6)
            keyframe = unit(2, 70_000, keyframe=True)
            camera.broadcaster.publish(keyframe)
            assert convoys(steady) == [6]
            leaving.sender.go_alone()
            limited.sender.pacing_bps = 100_000_000
            full.pairs[1] = clog = pair_from(*clogged())
            closed.sender.close()
            skipping.sender.skip()
            assert convoys(steady) == [2]
            assert leaving.sender.waiting_packets == steady.sender.waiting_packets > 0
            assert skipping.sender.waiting_packets == closed.sender.waiting_packets == 0
            leaving.repair.answer([leaving.sender.sequence - 1 & 0xFFFF])
            for viewer in (leaving, limited, full, steady):
                await drained(viewer)
            assert convoys(steady) == [1]
            assert full.sender.feed is not None
            assert full.sender.feed.dropped == 1
            for viewer in (leaving, limited, steady):
                arrived = viewer.receive()
                assert units_of(arrived.media) == expected([keyframe])
                assert len(arrived.repeated) == (viewer is leaving)
                assert counted(viewer)[:4] == counted(steady)[:4]
            assert [each.broken for each in (leaving, limited, full, closed, skipping, steady)] == [[]] * 6
            await clog.protocol.close()

    asyncio.run(scenario())


def test_a_unit_that_comes_before_a_keyframe_has_left_waits_its_turn_with_each() -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            camera, viewers = await crowd(stack, 3)
            units = [unit(2, 70_000, keyframe=True), unit(3, 800), unit(4, 900), unit(5, 1000)]
            for each in units[:2]:
                camera.broadcaster.publish(each)
            assert convoys(viewers[0]) == []
            for viewer in viewers:
                await drained(viewer)
            for each in units[2:]:
                camera.broadcaster.publish(each)
            assert convoys(viewers[0]) == [3]
            for viewer in viewers:
                assert units_of(viewer.receive().media) == expected(units)

    asyncio.run(scenario())


@pytest.mark.parametrize("timestamp", [3000, 2999])
def test_a_unit_that_does_not_follow_the_last_one_goes_to_each_alone(timestamp: int) -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            camera, viewers = await crowd(stack, 2)
            again: AccessUnit = unit(2, 800, timestamp=timestamp)
            camera.broadcaster.publish(again)
            camera.broadcaster.publish(unit(3, 800))
            for viewer in viewers:
                stamps = [packet.timestamp for packet in viewer.receive().media if packet.marker]
                assert [(stamp - viewer.sender.fanout.origin) & 0xFFFFFFFF for stamp in stamps] == [3001, 9000]

    asyncio.run(scenario())
