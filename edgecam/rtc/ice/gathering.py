"""Gathering local candidates (RFC 8445 section 5.1.1): this machine's own at once, what servers give when they give it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from edgecam.rtc.ice.addresses import AddressWatch
from edgecam.rtc.ice.candidate import Candidate
from edgecam.rtc.ice.endpoints import Endpoint, UdpEndpoint
from edgecam.rtc.ice.hosts import ask_stun, open_hosts, reflexive
from edgecam.rtc.ice.ready import ReadySockets
from edgecam.rtc.ice.relayed import IPV4, IPV6, RelayEndpoint, allocate
from edgecam.rtc.ice.servers import KINDS, MAX_STUN, Kind, Server, ServerHealth
from edgecam.rtc.ice.standby import StandbyRelay
from edgecam.rtc.ice.stun import Address
from edgecam.settings import IceSettings

Found = Callable[[Candidate, Endpoint | None], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class IceContext:
    """What all viewers' gathering shares. It belongs to `Viewers`."""

    settings: IceSettings
    addresses: AddressWatch
    health: ServerHealth
    standby: StandbyRelay
    sockets: ReadySockets

    @property
    def relay_only(self) -> bool:
        return self.settings.policy == "relay"


class Gathering:
    """One viewer's candidates. `at_once` first, then `from_servers`, which ends when every server has answered or failed."""

    def __init__(self, context: IceContext, servers: Sequence[Server]) -> None:
        self.context = context
        self.servers = servers
        self._answered: set[str] = set()  # URLs of STUN servers that told how they see our sockets
        self._seen: set[Address] = set()
        self._hopes: set[str] = set()
        self.settled = asyncio.Event()  # every server that may answer has, or has not in its time

    @classmethod
    def alone(cls, ice: IceSettings, servers: Sequence[Server]) -> Gathering:
        """With nothing remembered, and nothing standing by."""
        health, addresses = ServerHealth(), AddressWatch(ice)
        relay = StandbyRelay(tuple, health, wanted=False, relay_only=ice.policy == "relay")
        return cls(IceContext(ice, addresses, health, relay, ReadySockets(ice, addresses, tuple, health)), servers)

    def at_once(self) -> tuple[list[Endpoint], list[Candidate]]:
        """Sockets on the machine's own addresses, and what is known of them; and the relayed address that stands by."""
        endpoints: list[Endpoint] = []
        offered: list[Candidate] = []
        if not self.context.relay_only:
            hosts, known = self._hosts()
            endpoints += hosts
            offered += [host.local_candidate for host in hosts]
            offered += self._mapped(hosts)
            offered += known
            self._seen = {candidate.address for candidate in offered}
        standing = self.context.standby.take(self.servers)
        if standing is not None:
            endpoints.append(standing)
        self._hopes = {server.url for server in self.servers if self.context.health.may_answer(server)} - self._answered
        self._settle("")
        return endpoints, offered

    def again(self, named: Iterable[Candidate]) -> None:
        """For an ICE restart: servers are asked once more, though they have answered; what is `named` still stands."""
        self._answered.clear()
        self._seen = {candidate.address for candidate in named}
        self._hopes = {server.url for server in self.servers if self.context.health.may_answer(server)}
        self.settled.clear()
        self._settle("")

    def _settle(self, url: str) -> None:
        self._hopes.discard(url)
        if not self._hopes:
            self.settled.set()

    def _hosts(self) -> tuple[list[UdpEndpoint], list[Candidate]]:
        """A socket on each address, those that are ready where there are any, and what STUN servers have said of these."""
        context = self.context
        ready = context.sockets.take()
        hosts, known = (ready.hosts, ready.reflexive) if ready is not None else ([], [])
        if ready is not None:
            self._answered |= ready.asked
        missing = [local for local in context.addresses.current if local.address not in {host.base for host in hosts}]
        return hosts + open_hosts(missing, context.settings.port_range, best=65535 - len(hosts)), known

    def _mapped(self, hosts: Iterable[UdpEndpoint]) -> list[Candidate]:
        """The public address of a 1:1 NAT, for each of our sockets behind it."""
        public = self.context.settings.nat_address
        return [reflexive(host, (public, host.local_candidate.port), "nat") for host in hosts if public and ":" not in host.base]

    async def from_servers(self, endpoints: Sequence[Endpoint], found: Found, kinds: Iterable[Kind] = KINDS) -> None:
        """Ask every server of these kinds at once that has not answered; `found` hears of each candidate as it comes, with the
        endpoint that is new, if one is."""
        chosen = [server for server in self.context.health.choose(self.servers) if server.kind in kinds]
        hosts = [endpoint for endpoint in endpoints if isinstance(endpoint, UdpEndpoint)]
        relayed = {e.transport.server.url for e in endpoints if isinstance(e, RelayEndpoint)}
        stun = [server for server in chosen if server.kind == "stun" and server.url not in self._answered and hosts]
        turn = [server for server in chosen if server.kind == "turn" and server.url not in relayed]
        self._hopes &= {server.url for server in [*stun[:MAX_STUN], *turn]}
        self._settle("")
        async with asyncio.TaskGroup() as group:
            for server in stun[:MAX_STUN]:
                group.create_task(self._reflexive(server, hosts, found), name="ice stun")
            for server in turn:
                group.create_task(self._relayed(server, IPV4, found), name="ice turn")

    async def ipv6_relays(self, found: Found) -> None:
        """An IPv6 address at each TURN server that is not known to be dead (RFC 8656 section 7.1: IPv4 unless one asks)."""
        async with asyncio.TaskGroup() as group:
            for server in self.context.health.choose(self.servers):
                if server.kind == "turn":
                    group.create_task(self._relayed(server, IPV6, found), name="ice turn ipv6")

    @property
    def nobody_to_ask(self) -> bool:
        """Every server has answered before we asked, or there is none."""
        return all(server.kind == "stun" and server.url in self._answered for server in self.servers)

    def has(self, kind: Kind) -> bool:
        """Whether there are servers of that kind for us to ask."""
        return any(server.kind == kind for server in self.servers) and not (kind == "stun" and self.context.relay_only)

    def lacks(self, kind: Kind, endpoints: Iterable[Endpoint]) -> bool:
        """Whether there are servers of that kind, and none has answered (STUN) or given an address (TURN)."""
        got = bool(self._answered) if kind == "stun" else any(isinstance(e, RelayEndpoint) for e in endpoints)
        return self.has(kind) and not got

    async def _reflexive(self, server: Server, hosts: Sequence[UdpEndpoint], found: Found) -> None:
        async def mapped(host: UdpEndpoint, _at: Address, seen: Address) -> None:
            if seen not in self._seen:  # without a NAT it is the host candidate once more
                self._seen.add(seen)
                await found(reflexive(host, seen, server.url), None)

        if await ask_stun(server, hosts, self.context.health, mapped):
            self._answered.add(server.url)
        self._settle(server.url)

    async def _relayed(self, server: Server, family: int, found: Found) -> None:
        endpoint = await allocate(server, self.context.health, family=family, relay_only=self.context.relay_only)
        if endpoint is not None:
            await found(endpoint.local_candidate, endpoint)
        self._settle(server.url)


async def close_all(endpoints: Iterable[Endpoint], within: float) -> None:
    """Give all of them back, in bounded time."""
    closing = [asyncio.ensure_future(endpoint.close()) for endpoint in endpoints]
    if closing:
        _done, late = await asyncio.wait(closing, timeout=within)
        for task in late:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*closing, return_exceptions=True)
