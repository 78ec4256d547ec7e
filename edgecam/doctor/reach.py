"""One round of Binding requests to all servers, and what it says of the way out: is UDP blocked, what does the NAT do."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from edgecam.doctor.servers import Endpoint
from edgecam.doctor.udp import BindingSocket, Bound, Silence, open_binding_socket
from edgecam.rtc.ice.stun import Address

TCP_PATIENCE = 2.0  # seconds


@dataclass(frozen=True, slots=True)
class Mappings:
    """Of one socket: where each destination sees it."""

    seen: Mapping[Address, Address] = field(default_factory=dict)
    port: int = 0

    @property
    def symmetric(self) -> bool | None:
        """Whether the NAT gives each destination a mapping of its own (RFC 4787 section 4.1); None when only one
        destination has answered."""
        return len(set(self.seen.values())) > 1 if len(self.seen) > 1 else None

    @property
    def natted(self) -> bool:
        """Whether a server sees another address than this machine has."""
        return any(mapped != (_own_address(there), self.port) for there, mapped in self.seen.items())


@dataclass(frozen=True, slots=True)
class Reach:
    """What came of asking each server over UDP, by its `where`. `tcp_works`: of the silent ones, those that accept TCP
    connections."""

    addresses: Mapping[str, Address | None] = field(default_factory=dict)
    answers: Mapping[str, Bound | Silence] = field(default_factory=dict)
    tcp_works: Sequence[str] = ()
    mappings: Mappings = Mappings()

    @property
    def udp_blocked(self) -> bool:
        """No server answers over UDP, and it is not the servers: they take TCP, or this machine may not send."""
        silent = [answer for answer in self.answers.values() if isinstance(answer, Silence)]
        if not silent or len(silent) < len(self.answers):
            return False
        return bool(self.tcp_works) or all(answer.forbidden for answer in silent)


async def look_around(listed: Sequence[Endpoint], addresses: Mapping[str, Address | None]) -> Reach:
    """Ask all of them at once. `addresses` are those of their `where`. Takes 6 s at most, mostly much less."""
    targets = {
        endpoint.where: address
        for endpoint in listed
        if endpoint.over == "udp" and (address := addresses[endpoint.where]) is not None
    }
    v6 = {where: address for where, address in targets.items() if ":" in address[0]}
    v4 = {where: address for where, address in targets.items() if where not in v6}
    answers4, mappings4 = await _ask_all(socket.AF_INET, v4)
    answers6, mappings6 = await _ask_all(socket.AF_INET6, v6)
    answers = {**answers4, **answers6}
    silent = [where for where, answer in answers.items() if isinstance(answer, Silence)]
    taken = await asyncio.gather(*(_takes_tcp(targets[where]) for where in silent))
    works = [where for where, takes in zip(silent, taken, strict=True) if takes]
    # NATs are a matter of IPv4: IPv6 is looked at only where there is nothing else.
    return Reach(addresses, answers, works, mappings4 if mappings4.seen else mappings6)


async def _ask_all(
    family: socket.AddressFamily, targets: Mapping[str, Address]
) -> tuple[dict[str, Bound | Silence], Mappings]:
    if not targets:
        return {}, Mappings()
    with closing(await open_binding_socket(family)) as sock:
        distinct = sorted(set(targets.values()))
        got = dict(zip(distinct, await asyncio.gather(*map(sock.ask, distinct)), strict=True))
        seen = {there: answer.mapped for there, answer in got.items() if isinstance(answer, Bound)}
        if len(seen) == 1:
            seen |= await _ask_other_addresses(sock, got.values())
        return {where: got[address] for where, address in targets.items()}, Mappings(seen, sock.port)


async def _ask_other_addresses(sock: BindingSocket, answers: Iterable[Bound | Silence]) -> dict[Address, Address]:
    """A server with two addresses (RFC 5780) is as good as two servers."""
    others = {answer.other for answer in answers if isinstance(answer, Bound) and answer.other is not None}
    got = await asyncio.gather(*map(sock.ask, others))
    return {there: answer.mapped for there, answer in zip(others, got, strict=True) if isinstance(answer, Bound)}


async def _takes_tcp(address: Address) -> bool:
    try:
        async with asyncio.timeout(TCP_PATIENCE):
            _, writer = await asyncio.open_connection(*address)
    except OSError:  # TimeoutError is one
        return False
    writer.close()
    return True


def _own_address(there: Address) -> str:
    """The address that packets to `there` leave this machine with; nothing is sent."""
    family = socket.AF_INET6 if ":" in there[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(there)
        except OSError:
            return ""
        return str(sock.getsockname()[0])
