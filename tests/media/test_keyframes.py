"""The keyframe debounce."""

from __future__ import annotations

import asyncio
import time

from edgecam.media.keyframes import MIN_INTERVAL, KeyframeRequests


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
