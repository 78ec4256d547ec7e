"""When each pair is checked (RFC 8445 section 6.1.4), and when there is no hope any more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edgecam.rtc.ice import checking
from edgecam.rtc.ice.pairs import Pair

if TYPE_CHECKING:
    from edgecam.rtc.ice.agent import Agent

# Seconds between two new checks: the least that RFC 8445 section 14.2 allows. The viewer's first check must find our NAT open.
PACE = 0.005
LOOK = 0.5  # seconds between two looks whether there is hope, while there is nothing to check
GIVE_UP = 14.0  # seconds of checks without success
PATIENCE = 8.0  # seconds before all having failed means failure: the viewer's own checks may still come


async def keep_checking(agent: Agent) -> None:
    """Start one check every PACE seconds while there is any, until there is a path or no hope of one."""
    while agent.selected is not None or _hopeful(agent):
        pair = agent.checklist.next(relays=agent.local.relays.is_set())
        if pair is not None and (pair.triggered or _improves(agent, pair)):
            checking.start(agent, pair)
            await asyncio.sleep(PACE)
        else:
            await agent.news(LOOK if agent.selected is None else None)
    agent.fail("ice-failed")


def _improves(agent: Agent, pair: Pair) -> bool:
    """There is no path yet, or only the one from before a restart; or we control, and leave a relay for a direct one."""
    current = agent.selected
    return current is None or agent.former is not None or (agent.ice_controlling and current.is_relayed and not pair.is_relayed)


def _hopeful(agent: Agent) -> bool:
    nothing_left = agent.remote_ended and agent.local.gathered.is_set() and agent.checklist.exhausted
    return agent.checked_for < (PATIENCE if nothing_left else GIVE_UP)
