"""Large units leave in steps, in order, and what waits is bounded."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from aiortc.rtp import RtpPacket
from structlog.testing import capture_logs

from edgecam.media.keyframes import MIN_INTERVAL
from edgecam.rtc.sending import sender
from edgecam.rtc.sending.pacer import AT_ONCE, STEP
from edgecam.rtc.sending.waiting import MAX_WAITING
from tests.rtc.sending_scene import Arrived, Link, drained, expected, link, start, unit, units_of


def test_a_keyframe_leaves_in_steps_and_the_units_behind_it_wait_their_turn() -> None:
    async def scenario() -> None:
        async with link() as viewer:
            start(viewer)
            units = [unit(0, 60_000, keyframe=True), unit(1, 3000), unit(2, 3000)]
            began = time.monotonic()
            for each in units:
                viewer.camera.broadcaster.publish(each)
            arrived = viewer.receive()
            assert len(arrived.media) == AT_ONCE
            await drained(viewer)
            assert time.monotonic() - began >= 3 * STEP
            assert units_of(viewer.receive(arrived).media) == expected(units)
            assert viewer.sender.fanout.delays.count == 3
            assert viewer.sender.fanout.pacer._timer is None, "it runs only while something waits"

    asyncio.run(scenario())


def test_an_estimate_sets_the_pace() -> None:
    async def scenario() -> float:
        async with link() as viewer:
            start(viewer)
            viewer.sender.pacing_bps = 4_000_000
            began = time.monotonic()
            viewer.camera.broadcaster.publish(unit(0, 50_000, keyframe=True))
            await drained(viewer)
            seconds = time.monotonic() - began
            assert units_of(viewer.receive().media) == expected([unit(0, 50_000, keyframe=True)])
            return seconds

    # 400 kbit at 4 Mbit/s, less what may go at once.
    assert 0.05 <= asyncio.run(scenario()) <= 1.0


def test_a_link_that_cannot_carry_the_stream_gets_keyframes_when_they_fit() -> None:
    async def scenario() -> None:
        async with link() as viewer:
            start(viewer)
            viewer.sender.pacing_bps = 200_000
            keyframe = unit(0, 9000, keyframe=True)
            viewer.camera.broadcaster.publish(keyframe)
            feed = viewer.sender.feed
            assert feed is not None
            waiting = []
            for index in range(1, 400):
                viewer.camera.broadcaster.publish(unit(index, 9000))
                waiting.append(viewer.sender.waiting_packets)
            assert max(waiting) <= MAX_WAITING + 8
            assert feed.dropped > 100
            async with asyncio.timeout(5):
                await drained(viewer)
            assert units_of(viewer.receive().media)[0] == expected([keyframe])[0], "it had begun, so it was finished"
            assert viewer.broken == []

    asyncio.run(scenario())


def test_a_viewer_that_leaves_takes_its_backlog_along() -> None:
    async def scenario() -> None:
        async with link() as viewer:
            start(viewer)
            viewer.camera.broadcaster.publish(unit(0, 60_000, keyframe=True))
            viewer.sender.close()
            await asyncio.sleep(3 * STEP)
            assert len(viewer.receive().media) == AT_ONCE
            assert viewer.sender.fanout.pacer._timer is None

    asyncio.run(scenario())


class Raising:
    """A backlog that breaks whenever it is its turn."""

    def __init__(self) -> None:
        self.called = 0

    def resume(self) -> bool:
        self.called += 1
        raise ValueError("a defect")


def test_a_backlog_that_breaks_does_not_stop_the_timer_of_the_others() -> None:
    async def scenario() -> None:
        async with link() as viewer:
            start(viewer)
            raising, pacer = Raising(), viewer.sender.fanout.pacer
            pacer.add(raising)
            keyframe = unit(0, 60_000, keyframe=True)
            with capture_logs() as logs:
                viewer.camera.broadcaster.publish(keyframe)
                await drained(viewer)
            assert units_of(viewer.receive().media) == expected([keyframe])
            assert raising.called == 1
            assert [entry["event"] for entry in logs] == ["sending.pacing-failed"]
            assert pacer._timer is None

    asyncio.run(scenario())


class SlowViewer:
    """A viewer on 300 kbit/s of a stream of 1.5 Mbit/s, in simulated time: its camera answers within a picture, but not
    more often than MIN_INTERVAL."""

    def __init__(self, viewer: Link, monkeypatch: pytest.MonkeyPatch) -> None:
        self.viewer = viewer
        self.now_ns = time.monotonic_ns()
        self.keyframes = 0
        monkeypatch.setattr(sender, "time", SimpleNamespace(monotonic_ns=lambda: self.now_ns))
        start(viewer)
        viewer.sender.pacing_bps = 300_000
        self._answered = viewer.camera.asked
        self._last_ns = self.now_ns

    def watch(self, seconds: int) -> list[RtpPacket]:
        """What arrives of whole units within that time."""
        arrived = Arrived()
        for tick in range(seconds * 240):
            if tick % 8 == 0:  # 30 pictures a second
                self._picture(tick // 8)
            self.now_ns += 1_000_000_000 // 240
            self.viewer.sender.resume()
            self.viewer.receive(arrived)
        while arrived.media[-1].marker is False:
            arrived.rtp.pop()
        return arrived.media

    def _picture(self, index: int) -> None:
        asked = self.viewer.camera.asked
        wanted = asked > self._answered and self.now_ns - self._last_ns >= MIN_INTERVAL * 1e9
        if wanted or index == 0:
            self._answered, self._last_ns = asked, self.now_ns
            self.keyframes += 1
            made = unit(index, 40_000, keyframe=True)
        else:
            made = unit(index, 6000)
        self.viewer.camera.broadcaster.publish(replace(made, captured_ns=self.now_ns, received_ns=self.now_ns))


def test_one_slow_viewer_does_not_make_a_keyframe_of_every_third_of_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with link() as viewer:
            slow = SlowViewer(viewer, monkeypatch)
            packets = slow.watch(20)
            assert 10 <= slow.keyframes <= 21, "it is asked for when the one before has left"
            whole = [each for each in units_of(packets) if each[0][0] == 0x67]
            assert len(whole) >= slow.keyframes - 1, "what is asked for is not dropped"
            assert viewer.sender.feed is not None
            assert viewer.sender.feed.dropped > 20
            assert viewer.broken == []

    asyncio.run(scenario())
