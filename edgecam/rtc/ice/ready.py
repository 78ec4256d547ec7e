"""Sockets that are opened ahead, with what STUN servers say of them: a viewer's answer then has our public address in it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from edgecam.rtc.ice.addresses import AddressWatch
from edgecam.rtc.ice.candidate import Candidate
from edgecam.rtc.ice.endpoints import UdpEndpoint
from edgecam.rtc.ice.hosts import ask_stun, mapping, open_hosts, reflexive
from edgecam.rtc.ice.servers import MAX_STUN, Server, ServerHealth
from edgecam.rtc.ice.stun import Address
from edgecam.settings import IceSettings

log = structlog.get_logger(__name__)

READY = 2  # sets of sockets kept: a page that opens two cameras takes both
FRESH = 20.0  # seconds after which a NAT is reminded of a mapping; some forget after 30 (RFC 4787 asks for 120)
TOO_OLD = 2 * FRESH  # seconds; the machine slept, or was too busy to remind
AGAIN = 10.0  # seconds until it is tried again where no STUN server answered, or no port was left


@dataclass(slots=True, eq=False)
class SocketSet:
    """A socket on each address. `asked`: the URLs of servers that have answered; `mappings`: by socket and server, where that
    server sees it."""

    hosts: list[UdpEndpoint]
    fresh_at: float  # time.monotonic()
    reflexive: list[Candidate] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    mappings: dict[tuple[UdpEndpoint, Address], Address] = field(default_factory=dict)

    def close(self) -> None:
        for host in self.hosts:
            host.transport.close()


class ReadySockets:
    """Keeps READY sets while `run` runs and there are STUN servers; `take` gives one away, and another is made."""

    def __init__(
        self, ice: IceSettings, addresses: AddressWatch, servers: Callable[[], Sequence[Server]], health: ServerHealth
    ) -> None:
        self.made = 0
        self._ice = ice
        self._addresses = addresses
        self._servers = servers
        self._health = health
        self._ready: list[SocketSet] = []
        self._changed = asyncio.Event()

    def take(self) -> SocketSet | None:
        """One that is fresh, the caller's from now on; of it only sockets on addresses that the machine still has."""
        while self._ready:
            taken = self._ready.pop(0)
            self._changed.set()
            current = {local.address for local in self._addresses.current}
            if time.monotonic() - taken.fresh_at < TOO_OLD and all(host.base in current for host in taken.hosts):
                return taken
            taken.close()
        return None

    def renew(self) -> None:
        """This machine's addresses have changed, and with them the way to whoever told what the sockets look like."""
        self._drop_all()
        self._changed.set()

    def look(self) -> None:
        """There may be other servers now."""
        self._changed.set()

    async def run(self) -> None:
        """Keep them ready, for ever."""
        try:
            while True:
                pause = await self._refill()
                due = min((each.fresh_at + FRESH - time.monotonic() for each in self._ready), default=pause)
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, min(due, pause))):
                        await self._changed.wait()
                self._changed.clear()
                await asyncio.gather(*(self._refresh(each) for each in self._ready[:]))
        finally:
            self._drop_all()

    async def _refill(self) -> float:
        """Make what is missing; returns the seconds until that makes sense again."""
        while len(self._ready) < READY:
            stun = [server for server in self._health.choose(self._servers()) if server.kind == "stun"][:MAX_STUN]
            made = await self._make(stun) if stun else None
            if made is None:
                return AGAIN
            self._ready.append(made)
            self.made += 1
        return FRESH

    async def _make(self, stun: Sequence[Server]) -> SocketSet | None:
        """A set of which at least one server has told something."""
        made = SocketSet(open_hosts(self._addresses.current, self._ice.port_range, quiet=True), time.monotonic())

        async def ask(server: Server) -> None:
            async def mapped(host: UdpEndpoint, at: Address, seen: Address) -> None:
                known = {candidate.address for candidate in made.reflexive}
                if seen not in known and seen != host.local_candidate.address:
                    made.reflexive.append(reflexive(host, seen, server.url))
                made.mappings[host, at] = seen

            if await ask_stun(server, made.hosts, self._health, mapped):
                made.asked.add(server.url)

        try:
            async with asyncio.TaskGroup() as group:
                for server in stun:
                    group.create_task(ask(server), name="ice ready stun")
        except BaseException:
            made.close()
            raise
        addresses = {local.address for local in self._addresses.current}
        if made.asked and all(host.base in addresses for host in made.hosts):  # they may have changed meanwhile
            return made
        made.close()
        return None

    async def _refresh(self, known: SocketSet) -> None:
        """Remind the NATs of one set if it is time; give the set up when they have forgotten, or the server is gone."""
        if time.monotonic() - known.fresh_at < FRESH / 2:
            return
        asked = time.monotonic()
        one_each = {host: (at, seen) for (host, at), seen in known.mappings.items()}  # one answer keeps a mapping alive
        now = await asyncio.gather(*(mapping(host, at) for host, (at, _seen) in one_each.items()))
        if now == [seen for _at, seen in one_each.values()]:
            known.fresh_at = asked
        elif known in self._ready:  # not taken meanwhile
            self._ready.remove(known)
            known.close()
            log.debug("ice.mapping-changed", sockets=len(known.hosts))

    def _drop_all(self) -> None:
        dropped, self._ready = self._ready, []
        for each in dropped:
            each.close()

    def as_dict(self) -> dict[str, Any]:
        """For the status document."""
        return {"ready": len(self._ready), "made": self.made}
