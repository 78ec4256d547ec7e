"""What a viewer is sent follows what its link carries: silence, keyframes, repairs and padding on a real socket."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from edgecam.rtc.feedback import Reception
from edgecam.rtc.sending.rate import REPAIR_BURST, RateControl
from tests.rtc.sending_scene import Link, drained, link, start, unit

CEILING = 2_000_000


def controlled(viewer: Link) -> tuple[RateControl, list[int]]:
    """The viewer under control, and what its camera is told."""
    told: list[int] = []
    camera: Any = viewer.camera
    camera.feed_estimates = lambda _feed, bps: told.append(bps)
    return RateControl(viewer.sender, viewer.repair, CEILING, lambda: CEILING), told


def publish(viewer: Link, index: int, octets: int = 9000, *, keyframe: bool = False) -> list[int]:
    """A unit, and the sequence numbers of what arrived because of it."""
    viewer.camera.broadcaster.publish(unit(index, octets, keyframe=keyframe))
    return [packet.sequence_number for packet in viewer.receive().media]


def report(viewer: Link, highest: int, lost: int = 0) -> Reception:
    return Reception(False, 0.0, lost, highest, 0, 0, 0)


def test_after_a_silence_the_viewer_goes_on_with_a_keyframe() -> None:
    async def scenario() -> None:
        async with link() as viewer:
            rate, _ = controlled(viewer)
            start(viewer)
            assert publish(viewer, 0, keyframe=True)
            rate.estimate.hold_until = time.monotonic() + 0.05
            assert publish(viewer, 1) == []
            assert publish(viewer, 2, keyframe=True) == []
            await asyncio.sleep(0.06)
            asked = viewer.camera.asked
            assert publish(viewer, 3) == [], "what it refers to was not sent"
            assert viewer.camera.asked == asked + 1
            assert publish(viewer, 4) == []
            assert publish(viewer, 5, keyframe=True)
            assert viewer.sender.feed is not None
            assert viewer.sender.feed.dropped == 3

    asyncio.run(scenario())


def test_a_good_link_gets_everything_again_that_it_asks_for() -> None:
    async def scenario() -> None:
        async with link() as viewer:
            rate, _ = controlled(viewer)
            start(viewer)
            sent = [n for index in range(8) for n in publish(viewer, index, keyframe=index == 0)]
            assert len(sent) > 2 * REPAIR_BURST
            rate.nacked(sent)
            assert len(viewer.receive().repeated) == len(sent)

    asyncio.run(scenario())


def test_on_a_limited_link_more_loss_than_can_be_mended_is_answered_by_a_keyframe() -> None:
    async def scenario() -> None:
        async with link() as viewer:
            rate, _ = controlled(viewer)
            start(viewer)
            sent = [n for index in range(8) for n in publish(viewer, index, keyframe=index == 0)]
            rate.estimate.available_bps = CEILING // 4
            rate.nacked(sent[:10])
            assert len(viewer.receive().repeated) == 10
            asked = viewer.camera.asked
            rate.nacked(sent[10:])
            assert viewer.receive().repeated == []
            assert viewer.camera.asked == asked + 1
            assert publish(viewer, 8) == []
            new = publish(viewer, 9, keyframe=True)
            rate.nacked(sent[-3:])
            assert viewer.receive().repeated == [], "a keyframe has made them useless"
            rate.nacked(new[:3])
            assert len(viewer.receive().repeated) == 3

    asyncio.run(scenario())


def test_a_probe_is_padding_that_ends_by_itself_and_with_the_viewer() -> None:
    async def scenario() -> None:
        async with link() as viewer:
            rate, told = controlled(viewer)
            start(viewer)
            sent = publish(viewer, 0, keyframe=True)
            rate.reported(report(viewer, sent[-1]))
            await asyncio.sleep(0.06)
            estimate = rate.estimate
            estimate.available_bps = CEILING // 4
            estimate.probing.fail(time.monotonic() - 60)
            rate.reported(report(viewer, sent[-1]))
            assert estimate.probing.goal_bps > CEILING // 4
            assert told[-1] < CEILING // 4
            padding = 0
            while estimate.probing.goal_bps:
                await asyncio.sleep(0.02)
                padding += sum(len(packet.payload) for packet in viewer.receive().repeated)
            assert 0.3 < padding * 8 / 0.6 / (1.5 * CEILING / 4) < 1.3
            estimate.probing.begin(CEILING // 4, CEILING, estimate.delivery.octets, time.monotonic())
            viewer.sender.fanout.pacer.add(rate)
            rate.close()
            await asyncio.sleep(0.03)
            assert viewer.receive().repeated == []

    asyncio.run(scenario())


@pytest.mark.parametrize("octets", [3000, 40_000], ids=["at once", "in steps"])
def test_what_a_change_of_rendition_replays_is_no_send_delay(octets: int) -> None:
    async def scenario() -> None:
        async with link() as viewer:
            rate, _ = controlled(viewer)
            old = [unit(index, octets, keyframe=index == 0) for index in range(1, 3)]
            camera: Any = viewer.camera
            camera.feed_estimates = lambda feed, _bps: [feed.push(each) for each in old]
            start(viewer)
            sent = publish(viewer, 0, 3000, keyframe=True)
            delays = viewer.sender.fanout.delays
            assert delays.count == 1
            rate.estimate.available_bps -= 1000  # the camera is to hear of it
            rate.reported(report(viewer, sent[-1]))
            await drained(viewer)
            assert len(viewer.receive().media) >= 2 * octets // 1200, "they were replayed"
            assert delays.count == 1
            publish(viewer, 3, 3000)
            await drained(viewer)
            assert delays.count == 2

    asyncio.run(scenario())
