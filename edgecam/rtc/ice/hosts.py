"""Sockets on the machine's own addresses, and under which address STUN servers see each of them (RFC 8445 section 5.1.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

import structlog

from edgecam.rtc.ice.addresses import LocalAddress
from edgecam.rtc.ice.candidate import Candidate, foundation, priority
from edgecam.rtc.ice.endpoints import UdpEndpoint, open_udp
from edgecam.rtc.ice.relayed import failure
from edgecam.rtc.ice.servers import Server, ServerHealth
from edgecam.rtc.ice.stun import Address, Attribute, Message, Method
from edgecam.rtc.ice.transactions import StunError
from edgecam.rtc.ice.wires import addresses_of

log = structlog.get_logger(__name__)

RESENT = (0.2, 0.4, 0.8, 1.6)  # seconds until a STUN server counts as silent: 3 in all

# The socket, the server's address, and where it sees the socket.
Mapped = Callable[[UdpEndpoint, Address, Address], Awaitable[None]]


def open_hosts(
    addresses: Sequence[LocalAddress], ports: range | None, *, best: int = 65535, quiet: bool = False
) -> list[UdpEndpoint]:
    """A socket on each of them that can be used; which cannot is logged unless `quiet`. `best`: the first's local preference."""
    opened: list[UdpEndpoint] = []
    for number, local in enumerate(addresses):
        try:
            opened.append(open_udp(local, best - number, ports))
        except OSError as error:
            if not quiet:
                log.warning("ice.address-unusable", address=local.address, interface=local.interface, reason=str(error))
    return opened


async def ask_stun(server: Server, hosts: Iterable[UdpEndpoint], health: ServerHealth, mapped: Mapped) -> bool:
    """How `server` sees each of the sockets that can reach it; whether it answered at all. `health` learns how it went."""
    try:
        addresses = await addresses_of(server)
    except OSError as error:
        health.failed(server, *failure(error))
        return False
    asks = [(host, at) for host in hosts for at in addresses if (":" in host.base) == (":" in at[0])]
    results = await asyncio.gather(*(_ask(server, host, at, health, mapped) for host, at in asks))
    errors = [result for result in results if result is not None]
    if errors and len(errors) == len(results):
        health.failed(server, *failure(errors[0]))
    return len(errors) < len(results)


async def _ask(server: Server, host: UdpEndpoint, at: Address, health: ServerHealth, mapped: Mapped) -> StunError | None:
    try:
        reply = await host.transactions.request(Message(Method.BINDING), at, None, RESENT)
    except StunError as error:
        return error
    health.succeeded(server, reply.seconds)
    seen = reply.message.address(Attribute.XOR_MAPPED_ADDRESS)
    if seen is not None:
        await mapped(host, at, seen)
    return None


async def mapping(host: UdpEndpoint, at: Address) -> Address | None:
    """Where the server at that address sees the socket now; None when it does not answer."""
    try:
        reply = await host.transactions.request(Message(Method.BINDING), at, None, RESENT)
    except StunError:
        return None
    return reply.message.address(Attribute.XOR_MAPPED_ADDRESS)


def reflexive(host: UdpEndpoint, seen: Address, server: str) -> Candidate:
    """The server-reflexive candidate of a socket; its base is the socket's own address."""
    base = host.local_candidate
    preference = base.priority >> 8 & 0xFFFF
    return Candidate(
        foundation("srflx", base.host, server), 1, "udp", priority("srflx", preference), *seen, "srflx", base.host, base.port
    )
