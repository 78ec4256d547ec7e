"""Datagrams of strangers, who need but know a port: no session ends, nothing is kept, nothing is logged as an error."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from struct import pack
from typing import Any

import pytest

from edgecam.rtc.ice.agent import LONGEST_DATAGRAM, MAX_UNREAD
from tests.peers.viewer import Viewer
from tests.rtc.scene import Scene, scene


@contextmanager
def faults() -> Iterator[list[dict[str, Any]]]:
    """What asyncio's callbacks raise meanwhile."""
    found: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: found.append(context))
    try:
        yield found
    finally:
        loop.set_exception_handler(None)


def stun(kind: int, *attributes: tuple[int, bytes]) -> bytes:
    """RFC 8489 section 5, with attributes of whatever size."""
    body = b"".join(pack("!HH", number, len(value)) + value + bytes(-len(value) % 4) for number, value in attributes)
    return pack("!HHI12s", kind, len(body), 0x2112A442, b"transaction!") + body


def connection_of(stage: Scene) -> Any:
    (session,) = stage.viewers
    return session._sender.transport.transport._connection


STRANGE = {
    "empty": b"",
    "one byte": b"\x80",
    "huge media": b"\x80\x60" + bytes(LONGEST_DATAGRAM),
    "huge RTCP": b"\x80\xc8" + bytes(LONGEST_DATAGRAM),
    "media of nobody": b"\x80\x60" + bytes(200),
    "DTLS of nobody": b"\x16\xfe\xfd" + bytes(60),
    "STUN: short FINGERPRINT": stun(1, (0x8028, b"xx")),
    "STUN: long PRIORITY": stun(1, (0x0024, b"xxxxxxxx")),
    "STUN: short ERROR-CODE": stun(0x111, (0x0009, b"x")),
    "STUN: empty address": stun(0x101, (0x0020, b"")),
}


@pytest.mark.parametrize("datagram", STRANGE.values(), ids=STRANGE.keys())
def test_one_datagram_of_a_stranger_does_nothing(datagram: bytes) -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            with faults() as found, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                answer = await stage.viewers.answer(stage.key(), await viewer.offer())
                connection = connection_of(stage)
                address = connection.local.endpoints[0].transport.get_extra_info("sockname")[:2]
                stranger.sendto(datagram, address)  # before there is a viewer
                await viewer.accept(answer)
                await viewer.decoded(3)
                stranger.sendto(datagram, address)
                await viewer.decoded(8)
                assert len(stage.viewers) == 1
                assert not found

    asyncio.run(scenario())


def test_what_comes_before_the_viewer_does_not_fill_memory() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            answer = await stage.viewers.answer(stage.key(), await viewer.offer())
            connection = connection_of(stage)
            for _ in range(MAX_UNREAD * 3):
                connection.local.endpoints[0].datagram_received(b"\x80\x60" + bytes(200), ("127.0.0.1", 9))
            assert connection._inbox.qsize() == MAX_UNREAD
            await viewer.accept(answer)
            await viewer.decoded(3)

    asyncio.run(scenario())
