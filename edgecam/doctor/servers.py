"""The STUN and TURN servers to look at, one entry for each way to reach one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from edgecam.peers import expiry_of
from edgecam.rtc.ice.servers import Server, parse_url
from edgecam.rtc.ice.stun import Address
from edgecam.rtc.ice.wires import addresses_of
from edgecam.settings import IceServer


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One URL of a server. `origin`: where it and its credentials come from: configured, minted, fetched, signaling."""

    server: Server
    origin: str

    @property
    def where(self) -> str:
        host = f"[{self.server.host}]" if ":" in self.server.host else self.server.host
        return f"{host}:{self.server.port}"

    @property
    def over(self) -> str:
        """udp, tcp, tls or dtls."""
        if not self.server.tls:
            return self.server.transport
        return "tls" if self.server.transport == "tcp" else "dtls"

    @property
    def shown(self) -> str:
        return f"{self.where} {self.over}" if self.server.kind == "turn" else self.where

    @property
    def expiry(self) -> float | None:
        """Unix time at which the credentials end, where the user name tells."""
        return expiry_of(self.server.username)

    @property
    def alone(self) -> IceServer:
        """The server with this URL only."""
        return IceServer(urls=(self.server.url,), username=self.server.username, credential=self.server.credential)


def endpoints(servers: Iterable[tuple[str, IceServer]]) -> list[Endpoint]:
    """Every URL of (origin, server), each with the same credentials once."""
    found: dict[Server, Endpoint] = {}
    for origin, entry in servers:
        for url in entry.urls:
            server = parse_url(url, entry.username, entry.credential)
            if server is not None:
                found.setdefault(server, Endpoint(server, origin))
    return list(found.values())


async def resolve(server: Server) -> Address | None:
    """The address that this machine would choose (RFC 6724); None when the name has none."""
    try:
        return (await addresses_of(server))[0]
    except (OSError, UnicodeError):
        return None


async def resolve_all(listed: Iterable[Endpoint]) -> dict[str, Address | None]:
    """Addresses by `where`."""
    by_place = {endpoint.where: endpoint.server for endpoint in listed}
    found = await asyncio.gather(*map(resolve, by_place.values()))
    return dict(zip(by_place, found, strict=True))
