"""A session's own candidates on their way to the viewer: in the description what is there, the rest one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from edgecam.errors import EdgecamError
from edgecam.peers import Candidate, PeerLink
from edgecam.rtc import sdp
from edgecam.rtc.ice.agent import Agent
from edgecam.rtc.ice.candidate import Candidate as IceCandidate


class LocalCandidates:
    """`describe` says what is there; from then on `found` passes on what comes. All of them can be read at any time."""

    def __init__(self, link: PeerLink | None) -> None:
        self._link = link
        self._agents: Mapping[str | None, Agent] = {}
        self._described = False
        self._arrived = asyncio.Event()

    def found(self, candidate: IceCandidate | None) -> None:
        """The agent has one more, or says that there will be no more (None)."""
        self._arrived.set()
        if self._described and self._link is not None and (candidate is not None or self.complete):
            self._link.local_candidate(self._addressed(candidate) if candidate is not None else None)

    def path_lost(self) -> None:
        if self._link is not None:
            self._link.path_lost()

    def turned_away(self, error: EdgecamError) -> None:
        if self._link is not None:
            self._link.turned_away(error)

    @property
    def complete(self) -> bool:
        """Whether no more will come."""
        return all(agent.local.complete for agent in self._agents.values())

    async def describe(self, description: str, agents: Mapping[str | None, Agent], patience: float) -> str:
        """Our description with what candidates there are, all of them if they come within `patience` seconds."""
        self._agents = agents
        await self.settle(patience)
        lines = {mid: [c.line for c in agent.local_candidates if c.port != 9] for mid, agent in agents.items() if mid is not None}
        self._described = True
        # Whoever cannot be told of more is told that there are no more.
        complete = self.complete or patience > 0
        return sdp.with_candidates(description, lines, complete=complete)

    async def settle(self, patience: float) -> None:
        """Until there are all candidates, or `patience` seconds have passed."""
        if patience > 0:
            for agent in set(self._agents.values()):
                await agent.local.settled(patience)

    def since(self, seen: int) -> list[Candidate]:
        """All but the first `seen` of the first section's candidates."""
        agent = next(iter(self._agents.values()), None)
        known = [c for c in agent.local_candidates if c.port != 9] if agent is not None else []
        return [self._addressed(candidate) for candidate in known[seen:]]

    @property
    def credentials(self) -> tuple[str, str]:
        """The ICE user name fragment and password that belong to them; empty before there are any."""
        agent = next(iter(self._agents.values()), None)
        return (agent.local_username, agent.local_password) if agent is not None else ("", "")

    async def more(self, seen: int, within: float) -> list[Candidate]:
        """What there is beyond the first `seen`, as soon as there is any, or no more will come, or the time is over."""
        try:
            async with asyncio.timeout(within):
                while not self.since(seen) and not self.complete:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            pass
        return self.since(seen)

    def _addressed(self, candidate: IceCandidate) -> Candidate:
        mid = next((mid for mid in self._agents if mid is not None), None)
        return Candidate(candidate.line, mid, 0)
