"""The queue between a feed and aiortc's stock sender, which asks for units at its own pace."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from edgecam.media.feed import Feed
from edgecam.media.types import AccessUnit

# A second of video at 30 fps: a viewer further behind than that wants the newest picture, not the old ones.
QUEUE_UNITS = 32


class UnitQueue:
    """A started feed whose units wait here. Bounded: when it is full, all that waits is dropped, and the feed goes on
    with a keyframe."""

    def __init__(self, attach: Callable[[Callable[[AccessUnit], None]], Feed]) -> None:
        self._queue: deque[AccessUnit] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self.feed = attach(self._put)
        self.feed.start()

    def __len__(self) -> int:
        return len(self._queue)

    def _put(self, unit: AccessUnit) -> None:
        if len(self._queue) >= QUEUE_UNITS:
            dropped = len(self._queue)
            self._queue.clear()
            if not unit.keyframe:
                self.feed.lagged(dropped + 1)
                return
            self.feed.dropped += dropped
        self._queue.append(unit)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def get(self) -> AccessUnit:
        """The next unit, in order. Only one task may wait at a time."""
        while not self._queue:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._queue.popleft()
