"""What a viewer is offered: this machine's addresses at once, what servers give as it comes, relays when it is their time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from edgecam.rtc.ice.candidate import Candidate
from edgecam.rtc.ice.endpoints import Endpoint
from edgecam.rtc.ice.gathering import Gathering, close_all
from edgecam.rtc.ice.servers import KINDS, Kind, Server

if TYPE_CHECKING:
    from edgecam.rtc.ice.agent import Agent

# Seconds for which relayed addresses are kept back: a viewer that takes what answers first (any aiortc) would stay on the relay
# where it could have had a direct path. By then the relay lets the viewer in, so that its first check is not lost either.
RELAY_HANDICAP = 0.05
RELAY_SETTLES = 0.3  # seconds that a relay may take to let the viewer in, before its address is named anyway
ALL_FAILED = 14.0  # seconds that a viewer who needs a relay waits for one at most
ASK_AGAIN = 1.0  # seconds until servers of which all have failed are asked again, for a viewer that has no path
SPARE_RELAYS_FOR = 10.0  # seconds after which relayed addresses are given back that a direct path made unnecessary
CLOSE_TIMEOUT = 1.5  # seconds
# Nothing to offer yet (RFC 8840 section 4.1.1): aiortc starts only with a local candidate. `sdp.with_candidates` leaves it out.
NOTHING_YET = Candidate("0", 1, "udp", 1, "0.0.0.0", 9, "host")


class LocalSide:
    """An agent's endpoints and candidates. `gathered` is set once every server has answered or failed once; `relays` once it is their time,
    or by whoever cannot name them later."""

    def __init__(self, agent: Agent, gathering: Gathering, on_candidate: Callable[[Candidate | None], None]) -> None:
        self.endpoints: list[Endpoint] = []
        self.candidates: list[Candidate] = []
        self.gathered = asyncio.Event()
        self.relays = asyncio.Event()
        self._agent = agent
        self._gathering = gathering
        self._on_candidate = on_candidate
        self._some_offered = asyncio.Event()
        self._standing_named = asyncio.Event()
        self._ipv6_asked = False
        self._ipv6_soon = False
        self._own: list[Candidate] = []  # this machine's, without any server's help
        self._asking: asyncio.Task[None] | None = None

    async def gather(self) -> None:
        """Have what is at hand, and ask the servers meanwhile. With `policy = "relay"` and nothing at hand this waits until a
        relay is found or none will be: without one there is nothing to answer with."""
        if self.endpoints or self._agent.closed:
            return
        if self._gathering.context.relay_only or self._agent.ice_controlling:
            self.relays.set()  # nothing to prefer, or ours to choose
        endpoints, offered = self._gathering.at_once()
        for endpoint in endpoints:
            self._agent.adopt(endpoint)
        self.candidates += offered
        self._own = offered
        self._agent.evidence.servers = self._gathering.servers
        if not any(endpoint.local_candidate.type == "relay" for endpoint in endpoints):
            self._standing_named.set()
        if self._gathering.nobody_to_ask:
            self.gathered.set()
        self._asking = self._agent.spawn(self._ask_servers(endpoints), "gathering")
        if self._gathering.context.relay_only:
            await self.offered(lambda: bool(self.candidates), ALL_FAILED)

    async def renew(self) -> None:
        """For an ICE restart: name what is still there once more, and ask the servers again."""
        if self._asking is None or self._agent.closed:
            return
        self._asking.cancel()
        await asyncio.wait({self._asking})
        here = {endpoint.local_candidate.address for endpoint in self.endpoints}
        self.candidates = [c for c in self._own if c.address in here or c.type == "srflx"]
        self._gathering.again(self.candidates)
        if not self._gathering.nobody_to_ask:
            self.gathered.clear()
        self._asking = self._agent.spawn(self._ask_servers(self.endpoints[:]), "gathering")

    def ask_also(self, servers: Sequence[Server]) -> None:
        """Name what these servers give too. Those that are being asked already are not asked again."""
        known = {server.url for server in self._gathering.servers}
        more = [server for server in servers if server.url not in known]
        if not more or self._agent.closed:
            return
        self._gathering.servers = [*self._gathering.servers, *more]
        self._agent.evidence.servers = self._gathering.servers
        self.gathered.clear()
        self._agent.spawn(self._ask(Gathering(self._gathering.context, more), self.endpoints[:]), "gathering")

    async def offered(self, enough: Callable[[], bool], within: float) -> None:
        """Until there is enough to offer, nothing more will come, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not enough() and not self.gathered.is_set():
                    self._some_offered.clear()
                    await self._some_offered.wait()

    async def settled(self, within: float) -> None:
        """Until nobody may be expected to answer any more, or the time is over. Relays are named at once: there is no later."""
        self.relays.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._gathering.settled.wait()
                await self._standing_named.wait()

    async def open_relays_soon(self) -> None:
        """After their handicap."""
        await asyncio.sleep(RELAY_HANDICAP)
        self.relays.set()
        self._agent.wake()

    @property
    def complete(self) -> bool:
        """Whether no candidate will come any more."""
        # TURN servers may still have to be asked for IPv6.
        may_follow = self._gathering.has("turn") or self._gathering.lacks("stun", self.endpoints)
        return self.gathered.is_set() and not (may_follow and self._agent.selected is None)

    async def _ask_servers(self, endpoints: list[Endpoint]) -> None:
        """Once; and as long as there is no path, again where none has answered."""
        await self._ask_all(endpoints)
        async with asyncio.TaskGroup() as group:
            for kind in KINDS:
                group.create_task(self._ask_again(kind), name=f"ice {kind} again")
        self._on_candidate(None)

    async def _ask_again(self, kind: Kind) -> None:
        while not self.complete:
            await self._agent.connected_within(ASK_AGAIN)
            if self._agent.selected is None and self._gathering.lacks(kind, self.endpoints):
                await self._gathering.from_servers(self.endpoints[:], self._found, [kind])

    async def _ask_all(self, endpoints: list[Endpoint]) -> None:
        await self._ask(self._gathering, endpoints)

    async def _ask(self, gathering: Gathering, endpoints: list[Endpoint]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(gathering.from_servers(endpoints, self._found), name="ice servers")
                if self._wants_ipv6_relay():
                    group.create_task(self._ask_for_ipv6(), name="ice servers ipv6")
                for endpoint in endpoints:
                    if endpoint.local_candidate.type == "relay":
                        group.create_task(self._name_standing(endpoint), name="ice standing relay")
        finally:
            self.gathered.set()
            self._some_offered.set()
            self._agent.wake()

    def _wants_ipv6_relay(self) -> bool:
        """The viewer has named IPv6 addresses only, and there may be a relay that reaches them."""
        versions = {remote.version for remote in self._agent.remote_candidates}
        return not self._ipv6_asked and versions == {6} and self._gathering.has("turn") and self._agent.selected is None

    async def _ask_for_ipv6(self) -> None:
        self._ipv6_asked = True
        await self._gathering.ipv6_relays(self._found)

    def remote_named(self) -> None:
        """The viewer has named one more address."""
        if self._wants_ipv6_relay() and not self._ipv6_soon:
            self._ipv6_soon = True
            self._agent.spawn(self._ask_for_ipv6_soon(), "ipv6 relay")

    async def _ask_for_ipv6_soon(self) -> None:
        """Unless an IPv4 address or a path comes first."""
        await asyncio.sleep(RELAY_HANDICAP)
        self._ipv6_soon = False
        if self._wants_ipv6_relay():
            await self._ask_for_ipv6()

    async def _found(self, candidate: Candidate, endpoint: Endpoint | None) -> None:
        if endpoint is None:
            self._name(candidate)
        else:
            self._agent.adopt(endpoint)
            await self._name_relay(endpoint)

    async def _name_standing(self, endpoint: Endpoint) -> None:
        await self._name_relay(endpoint)
        self._standing_named.set()

    async def _name_relay(self, endpoint: Endpoint) -> None:
        """When it is their time, and the relay lets in what the viewer sends there."""
        await self.relays.wait()
        for pair in self._agent.checklist.pairs:
            if pair.protocol is endpoint and self._agent.selected is None:
                endpoint.expect(pair.remote_addr)
        await endpoint.settled(RELAY_SETTLES)
        self._name(endpoint.local_candidate)

    def _name(self, candidate: Candidate) -> None:
        self.candidates.append(candidate)
        self._some_offered.set()
        self._on_candidate(candidate)

    async def give_back_relays(self) -> None:
        """Once a direct path has proved itself."""
        await asyncio.sleep(SPARE_RELAYS_FOR)
        current = self._agent.selected
        if current is None or current.is_relayed or self._agent.former is not None:
            return
        spare = [e for e in self.endpoints if e.local_candidate.type == "relay"]
        self.endpoints = [e for e in self.endpoints if e not in spare]
        for endpoint in spare:
            self._agent.checklist.drop(endpoint)
        await close_all(spare, CLOSE_TIMEOUT)

    async def close(self) -> None:
        """Give everything back, in bounded time."""
        endpoints, self.endpoints = self.endpoints, []
        await close_all(endpoints, CLOSE_TIMEOUT)
