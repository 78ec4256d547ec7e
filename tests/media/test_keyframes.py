"""The keyframe debounce."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

from edgecam.media.keyframes import MIN_INTERVAL, KeyframeRequests, ViewerTurns


def test_fifty_viewers_asking_at_once_cost_one_keyframe_now_and_one_at_the_end_of_the_interval() -> None:
    async def scenario() -> list[float]:
        sent: list[float] = []
        second = asyncio.Event()

        def send() -> None:
            sent.append(time.monotonic())
            if len(sent) == 2:
                second.set()

        requests = KeyframeRequests(send)
        for _ in range(50):
            requests.request()
        assert len(sent) == 1
        assert requests.asked == 50
        await asyncio.wait_for(second.wait(), 2)
        return sent

    first, later = asyncio.run(scenario())
    assert later - first >= MIN_INTERVAL * 0.99


def test_a_cancelled_request_is_not_sent() -> None:
    async def scenario() -> int:
        requests = KeyframeRequests(lambda: None)
        requests.request()
        requests.request()
        requests.cancel()
        await asyncio.sleep(MIN_INTERVAL * 1.2)
        return requests.sent

    assert asyncio.run(scenario()) == 1


def test_one_viewer_that_always_asks_gets_three_at_once_and_then_one_a_second() -> None:
    turns = ViewerTurns()
    due = {turns.next(100 + tick / 100) for tick in range(1000)}
    early = sorted(each for each in due if each < 100.5)
    late = sorted(due - set(early))
    assert early == [100.0, 100.01, 100.02]
    assert 9 <= len(late) <= 11
    assert all(after - before >= 0.99 for before, after in pairwise(late))
    assert turns.next(200.0) == 200.0, "and whoever has been quiet is heard at once"


def test_a_request_that_is_to_wait_holds_nobody_else_up() -> None:
    async def scenario() -> None:
        requests = KeyframeRequests(lambda: None)
        requests.request(time.monotonic() + 60)
        assert requests.sent == 0
        requests.request()
        assert requests.sent == 1
        requests.request(time.monotonic() + 60)
        began = time.monotonic()
        requests.request()
        async with asyncio.timeout(5):
            while requests.sent < 2:  # noqa: ASYNC110 - the encoder is only asked
                await asyncio.sleep(0.01)
        assert time.monotonic() - began < 2

    asyncio.run(scenario())
