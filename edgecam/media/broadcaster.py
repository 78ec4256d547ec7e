"""Fan-out of one camera's access units to any number of viewers, without ever waiting for one of them.

After any drop a viewer gets nothing until the next keyframe: a delta whose reference is missing is not decodable.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from edgecam.media.types import RTP_CLOCK, AccessUnit

# A second of video at 30 fps: a viewer further behind than that wants the newest picture, not the old ones.
QUEUE_UNITS = 32
# A newcomer is started on the current group of pictures only while that is short: decoding a long one costs the
# viewer more time than a fresh keyframe does.
REPLAY_UNITS = 10
REPLAY_NS = 350_000_000
# Replayed pictures get timestamps this close together, so that the player hurries through them instead of
# building a delay as long as the group is old.
REPLAY_SPACING = RTP_CLOCK // 1000


class Subscription:
    """One viewer's bounded queue. `dropped` counts access units this viewer missed by being slow."""

    def __init__(self, on_lag: Callable[[], None]) -> None:
        self.dropped = 0
        self.delivered = 0
        self._queue: deque[AccessUnit] = deque()
        self._wants_keyframe = True
        self._on_lag = on_lag
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._queue)

    def push(self, unit: AccessUnit) -> None:
        """Queue a unit, or drop it and everything up to the next keyframe when the queue is full."""
        if unit.keyframe:
            # Whatever is still queued is superseded only if the viewer lags; a prompt one has an empty queue.
            self._wants_keyframe = False
        elif self._wants_keyframe:
            return
        if len(self._queue) >= QUEUE_UNITS:
            self.dropped += len(self._queue)
            self._queue.clear()
            if not unit.keyframe:
                self.dropped += 1
                self._wants_keyframe = True
                self._on_lag()
                return
        self._queue.append(unit)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def await_keyframe(self) -> None:
        """Skip deltas until the next keyframe."""
        self._wants_keyframe = True

    async def get(self) -> AccessUnit:
        """The next unit, in order. Only one task may wait at a time."""
        while not self._queue:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self.delivered += 1
        return self._queue.popleft()


class Broadcaster:
    """All viewers of one rendition. `want_keyframe` is called when somebody cannot go on without one."""

    def __init__(self, want_keyframe: Callable[[], None]) -> None:
        self._want_keyframe = want_keyframe
        self._subscriptions: set[Subscription] = set()
        self._group: list[AccessUnit] = []  # the current group of pictures, emptied when too long to replay
        self.last_keyframe: AccessUnit | None = None

    def __len__(self) -> int:
        return len(self._subscriptions)

    def publish(self, unit: AccessUnit) -> None:
        """Hand a unit to every viewer; never blocks."""
        if unit.keyframe:
            self.last_keyframe = unit
            self._group = [unit]
        elif self._group:
            if len(self._group) < REPLAY_UNITS and unit.captured_ns - self._group[0].captured_ns <= REPLAY_NS:
                self._group.append(unit)
            else:
                self._group = []
        for subscription in self._subscriptions:
            subscription.push(unit)

    def subscribe(self, now_ns: int) -> Subscription:
        """A queue that starts on a keyframe: the current one when it is young (CLOCK_MONOTONIC ns), else a new one."""
        subscription = Subscription(self._want_keyframe)
        group = self._group
        if group and now_ns - group[0].captured_ns <= REPLAY_NS:
            last = len(group) - 1
            for index, unit in enumerate(group):
                subscription.push(replace(unit, timestamp=group[-1].timestamp - (last - index) * REPLAY_SPACING))
        else:
            self._want_keyframe()
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)

    def discontinue(self) -> None:
        """The source broke: nothing that comes next refers to what came before."""
        self._group = []
        for subscription in self._subscriptions:
            subscription.await_keyframe()
