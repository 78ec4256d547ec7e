"""Relayed candidates: an allocation at whichever address of a TURN server answers first, and why there is none."""

from __future__ import annotations

import asyncio
import socket
import ssl

import structlog

from edgecam.rtc.ice.candidate import Candidate, foundation, priority
from edgecam.rtc.ice.endpoints import Endpoint
from edgecam.rtc.ice.servers import Server, ServerHealth
from edgecam.rtc.ice.stun import Address
from edgecam.rtc.ice.transactions import StunError
from edgecam.rtc.ice.turn import Allocation
from edgecam.rtc.ice.wires import addresses_of

log = structlog.get_logger(__name__)

_PREFERENCE = {("udp", False): 2, ("tcp", False): 1, ("tcp", True): 0}  # type preference, as libwebrtc has it


IPV4, IPV6 = 0x01, 0x02  # address families of relayed addresses (RFC 8656 section 18.6)


class RelayEndpoint(Endpoint):
    """A relayed address and its candidate. `transport` is the allocation."""

    transport: Allocation

    def __init__(self, allocation: Allocation, *, relay_only: bool = False) -> None:
        super().__init__()
        self.transport = allocation
        self.base = allocation.base
        allocation.endpoint = self
        server = allocation.server
        assert allocation.relayed is not None
        host, port = allocation.relayed
        unspecified = ("::" if ":" in host else "0.0.0.0", 9)  # RFC 8839 section 5.1
        mapped = None if relay_only else allocation.mapped
        related = mapped if mapped is not None and (":" in mapped[0]) == (":" in host) else unspecified
        preference = _PREFERENCE.get((server.transport, server.tls), 0)
        self.local_candidate = Candidate(
            foundation("relay", host, server.url), 1, "udp", priority("relay", 65535, preference), host, port, "relay", *related
        )

    @property
    def alive(self) -> bool:
        return self.transport.alive

    def expect(self, peer: Address) -> None:
        self.transport.expect(peer)

    async def settled(self, within: float) -> None:
        await self.transport.settled(within)

    async def close(self) -> None:
        self.receiver = None
        await self.transport.release()


async def allocate(
    server: Server, health: ServerHealth, *, family: int = IPV4, relay_only: bool = False
) -> RelayEndpoint | None:
    """A relayed address of that family at `server`, None when it gives none; `health` learns which, but for IPv6, which few
    have. The server itself is tried over IPv4 and IPv6 at once. `relay_only`: our viewers are relayed as well, and our own
    address is nobody's business."""
    try:
        allocation, seconds = await _first(server, family, await addresses_of(server))
    except (OSError, StunError) as error:
        code, detail = failure(error)
        if family == IPV4:
            health.failed(server, code, detail)
        else:
            log.debug("turn.no-ipv6", url=server.url, code=code, reason=detail)
        return None
    health.succeeded(server, seconds)
    if relay_only and allocation.relayed is not None:
        # The viewer's relayed address is most often at the same server. Permitted ahead, its first check comes in though nobody
        # has told us of it; Chromium repeats it after 48 ms only.
        allocation.permit(allocation.relayed[0])
    return RelayEndpoint(allocation, relay_only=relay_only)


async def _first(server: Server, family: int, addresses: list[Address]) -> tuple[Allocation, float]:
    """The first address that gives an allocation; the error of the last when none does."""
    allocations = [Allocation(server, ipv6=family == IPV6) for _ in addresses]
    opening = {
        asyncio.create_task(allocation.open(at), name="turn allocate"): allocation
        for allocation, at in zip(allocations, addresses, strict=True)
    }
    waiting = set(opening)
    try:
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task.exception() is None:
                    won = opening.pop(task)
                    return won, task.result()
                if not waiting:
                    task.result()  # raises
        raise OSError("its name has no address")
    finally:
        for task, allocation in opening.items():
            task.cancel()
            allocation.close()


def failure(error: Exception) -> tuple[str, str]:
    """(code for `Health`, sentence) of what a server's use raised."""
    if isinstance(error, StunError):
        return (str(error.code), f"it refused: {error}") if error.code else ("timeout", f"it is silent ({error})")
    if isinstance(error, TimeoutError):
        return "timeout", "it is silent (no answer)"
    if isinstance(error, socket.gaierror):
        return "dns", f"its name cannot be resolved ({error.strerror})"
    if isinstance(error, ssl.SSLError):
        return "tls", f"TLS failed ({getattr(error, 'verify_message', '') or error.reason or error})"
    if isinstance(error, ConnectionRefusedError):
        return "refused", "nothing listens there"
    if isinstance(error, ConnectionError):
        return "lost", "it closed the connection"
    return "unreachable", f"there is no way to it ({getattr(error, 'strerror', None) or error})"
