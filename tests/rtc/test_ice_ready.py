"""The sockets that are opened ahead: few, fresh, and given up as soon as what is known of them is no longer true."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edgecam.rtc.ice import ready
from edgecam.rtc.ice.addresses import AddressWatch
from edgecam.rtc.ice.ready import READY, ReadySockets
from edgecam.rtc.ice.servers import ServerHealth, servers_of
from edgecam.rtc.ice.stun import Address, Attribute, Kind, Message, decode
from edgecam.settings import IceServer, IceSettings


class StunServer(asyncio.DatagramProtocol):
    """Answers Binding requests as a server on the far side of a NAT would. `shift` is what the NAT adds to port numbers."""

    def __init__(self) -> None:
        self.asked: list[Address] = []
        self.shift = 1000
        self.silent = False
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        request = decode(data)
        assert request is not None
        self.asked.append(addr)
        if not self.silent:
            reply = Message(request.method, Kind.SUCCESS, request.transaction)
            reply.put_address(Attribute.XOR_MAPPED_ADDRESS, ("203.0.113.9", (addr[1] + self.shift) % 65536))
            self._transport.sendto(reply.encode(), addr)

    @property
    def url(self) -> str:
        return f"stun:127.0.0.1:{self._transport.get_extra_info('sockname')[1]}"


@asynccontextmanager
async def pool(**settings: Any) -> AsyncIterator[tuple[ReadySockets, StunServer]]:
    """On the loopback address only."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(StunServer, local_addr=("127.0.0.1", 0))
    ice = IceSettings.model_validate({"interfaces": ["lo"], "ipv6": False, **settings})
    servers = servers_of([IceServer.model_validate({"urls": server.url})])
    sockets = ReadySockets(ice, AddressWatch(ice), lambda: servers, ServerHealth())
    running = asyncio.create_task(sockets.run())
    try:
        yield sockets, server
    finally:
        running.cancel()
        await asyncio.wait([running])
        transport.close()
        await asyncio.sleep(0)  # asyncio closes it one turn later


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(8):
        while not condition():  # noqa: ASYNC110 - several things change what it looks at
            await asyncio.sleep(0.01)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_there_are_few_and_what_is_taken_is_replaced() -> None:
    async def scenario() -> None:
        before = descriptors()
        async with pool() as (sockets, _server):
            await until(lambda: sockets.made == READY)
            taken = sockets.take()
            assert taken is not None
            (host,) = taken.hosts
            (mapped,) = taken.reflexive
            assert mapped.address == ("203.0.113.9", (host.local_candidate.port + 1000) % 65536)
            assert (mapped.type, mapped.related_port) == ("srflx", host.local_candidate.port)
            await until(lambda: sockets.made == READY + 1)
            assert sockets.as_dict()["ready"] == READY
            taken.close()
        assert descriptors() <= before, "all of them were closed"
        assert sockets.take() is None

    asyncio.run(scenario())


def test_a_nat_is_reminded_and_one_that_has_forgotten_is_asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "FRESH", 0.2)
    monkeypatch.setattr(ready, "TOO_OLD", 5.0)

    async def scenario() -> None:
        async with pool() as (sockets, server):
            await until(lambda: sockets.made == READY)
            known = set(server.asked)
            await until(lambda: all(server.asked.count(address) >= 4 for address in known))
            assert set(server.asked) == known, "the same sockets all the time"
            server.shift = 2000
            await until(lambda: sockets.made >= 2 * READY)
            taken = sockets.take()
            assert taken is not None
            assert taken.reflexive[0].port == (taken.hosts[0].local_candidate.port + 2000) % 65536
            taken.close()

    asyncio.run(scenario())


def test_a_server_that_falls_silent_leaves_none_and_one_that_is_back_fills_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "FRESH", 0.1)
    monkeypatch.setattr(ready, "AGAIN", 0.1)

    async def scenario() -> None:
        async with pool() as (sockets, server):
            await until(lambda: sockets.made == READY)
            server.silent = True
            await until(lambda: sockets.as_dict()["ready"] == 0)
            assert sockets.take() is None
            server.silent = False
            await until(lambda: sockets.as_dict()["ready"] == READY)

    asyncio.run(scenario())


def test_what_is_too_old_is_not_given_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that slept has lost its mappings, and nobody has noticed yet."""
    monkeypatch.setattr(ready, "TOO_OLD", 0.0)

    async def scenario() -> None:
        async with pool() as (sockets, _server):
            await until(lambda: sockets.made == READY)
            assert sockets.take() is None

    asyncio.run(scenario())


def test_no_viewer_goes_without_because_ports_are_held_ready() -> None:
    async def scenario() -> None:
        async with pool(udp_ports="42100-42101") as (sockets, _server):
            await until(lambda: sockets.made == READY)
            first, second = sockets.take(), sockets.take()
            assert first is not None
            assert second is not None
            assert {first.hosts[0].local_candidate.port, second.hosts[0].local_candidate.port} == {42100, 42101}
            first.close()
            second.close()

    asyncio.run(scenario())
