"""Consent (RFC 7675): we send only while the viewer confirms that it wants to receive.

A question and its answer cost as much as sending a dozen units. While the viewer's own authenticated reports keep coming, it
is asked half as often as the RFC proposes, three times before its consent would expire; the moment that they do not, each second
and then without a pause.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from edgecam.rtc.ice.checking import key_of, request_of
from edgecam.rtc.ice.transactions import StunError

if TYPE_CHECKING:
    from edgecam.rtc.ice.agent import Agent

# Seconds between two looks at all viewers: waking up for each of them alone would cost more than looking, and a task each too.
INTERVAL = 1.0
HEARD_LATELY = 1.3  # seconds: browsers report each second
SELDOM = (8.0, 12.0)  # seconds between two questions to a viewer that is heard, drawn anew each time; RFC 7675 section 5.1
RESENT = 0.25  # seconds; a question is repeated until it is answered: a lossy link is not a dead one
LEAST = 1.0  # seconds for which it is, at least; to the end of SILENT where that is longer, for slow links
STALLED = 0.5  # seconds that our own clock may be late: then it was us who did not hear
SILENT = 4.5  # seconds without an answer or a report; a link that is cut for 3 s survives
EXPIRES = 30.0  # seconds without an answer, whatever else is heard: RFC 7675 section 5.1


class Rounds:
    """One look every INTERVAL for everybody who waits on a loop."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], Callable[[float], bool]] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, due: Callable[[float], bool]) -> None:
        """Until the first look at which `due` is true of the loop's time; the next one at the earliest."""
        woken = asyncio.get_running_loop().create_future()
        self._waiting[woken] = due
        self._schedule()
        try:
            await woken
        finally:
            del self._waiting[woken]

    def _schedule(self) -> None:
        if self._timer is None and self._waiting:
            loop = asyncio.get_running_loop()
            now = loop.time()
            self._timer = loop.call_at(now - now % INTERVAL + INTERVAL, self._look)

    def _look(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for woken, due in self._waiting.items():
            if not woken.done() and due(now):
                woken.set_result(None)
        self._schedule()


_ROUNDS: WeakKeyDictionary[asyncio.AbstractEventLoop, Rounds] = WeakKeyDictionary()


async def keep_consent(agent: Agent) -> None:
    """Ask until nothing has been heard for SILENT seconds, or no question was answered for EXPIRES."""
    loop = asyncio.get_running_loop()
    rounds = _ROUNDS.setdefault(loop, Rounds())
    answered = loop.time()
    seldom, pressing = random.uniform(*SELDOM), False

    def due(now: float) -> bool:
        return now - agent.heard >= HEARD_LATELY or now - answered >= seldom or agent.selected is None

    while agent.selected is not None:
        if not pressing or not due(loop.time()):
            await rounds.wait(due)
        pair = agent.selected
        if pair is None or agent.remote_password is None:
            break
        asked, pressing = loop.time(), False
        patience = max(LEAST, min(max(answered, agent.heard) + SILENT, answered + EXPIRES) - asked)
        try:
            async with asyncio.timeout(patience):
                request, key = request_of(agent, pair, nominate=False), key_of(agent, pair)
                often = [RESENT] * (round(patience / RESENT) + 1)
                await pair.protocol.transactions.request(request, pair.remote_addr, key, often)
        except (StunError, TimeoutError) as error:
            now = loop.time()
            pressing = not isinstance(error, StunError) or error.response is None
            if agent.selected is not pair:
                answered = now
            elif now - asked > patience + STALLED:
                continue
            elif now - max(answered, agent.heard) >= SILENT or now - answered >= EXPIRES:
                return agent.path_gone("consent-lost")
        else:
            answered, seldom = asked, random.uniform(*SELDOM)
    return None
