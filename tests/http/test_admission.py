"""Clients that connect and say nothing, or too little: they lose their connection, and nobody else does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
import time
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
import structlog

from edgecam.http import admission
from edgecam.http.listener import listening
from edgecam.settings import Listen
from tests.http.scene import guarded_app

HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@contextlib.asynccontextmanager
async def opened(connections: int = 4) -> AsyncIterator[Listen]:
    app, section = guarded_app()
    async with listening(app, section.address, name="web", connections=connections) as bound:
        yield bound


async def answer(address: Listen) -> int:
    """The status of a request on a connection of its own."""
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(timeout=timeout) as client, client.get(f"http://{address}/healthz") as response:
        return response.status


async def closed_within(reader: asyncio.StreamReader, seconds: float) -> bool:
    """Whether the other side ends the connection by then."""
    with contextlib.suppress(ConnectionError):
        try:
            async with asyncio.timeout(seconds):
                await reader.read()
        except TimeoutError:
            return False
    return True


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n"])
def test_a_connection_that_asks_for_nothing_is_closed(begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "FIRST_REQUEST_WITHIN", 0.2)

    async def main() -> None:
        async with opened() as address:
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(begun)
            assert await closed_within(reader, 2)
            writer.close()

    asyncio.run(main())


def test_a_connection_that_has_asked_once_may_be_silent_and_ask_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "FIRST_REQUEST_WITHIN", 0.2)

    async def main() -> None:
        async with opened() as address:
            reader, writer = await asyncio.open_connection(address.host, address.port)
            for _ in range(2):
                writer.write(HEALTHZ)
                assert b" 200 " in await reader.readline()
                await reader.readuntil(b"\r\n\r\nok")
                await asyncio.sleep(0.4)
            writer.close()

    asyncio.run(main())


def test_a_websocket_outlives_the_time_for_the_first_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "FIRST_REQUEST_WITHIN", 0.2)

    async def main() -> None:
        async with opened() as address, aiohttp.ClientSession() as client:
            async with client.ws_connect(f"http://{address}/ws") as ws:
                await asyncio.sleep(0.4)
                await ws.send_str("still here")
                assert await ws.receive_str(timeout=2) == "still here"

    asyncio.run(main())


def test_strangers_that_only_connect_do_not_keep_anybody_out() -> None:
    async def main() -> None:
        async with opened(connections=4) as address:
            strangers = [await asyncio.open_connection(address.host, address.port) for _ in range(50)]
            assert await answer(address) == 200
            still = [not await closed_within(reader, 0.05) for reader, _ in strangers]
            assert sum(still) <= 4
            for _, writer in strangers:
                writer.close()

    with structlog.testing.capture_logs() as events:
        asyncio.run(main())
    assert len([event for event in events if event["event"] == "listener.full"]) == 1


def test_who_is_one_too_many_is_closed_at_once_and_whoever_is_inside_stays() -> None:
    async def main() -> None:
        async with opened(connections=2) as address:
            inside = []
            for _ in range(2):
                reader, writer = await asyncio.open_connection(address.host, address.port)
                writer.write(HEALTHZ)
                assert b" 200 " in await reader.readline()
                inside.append((reader, writer))
            late, late_writer = await asyncio.open_connection(address.host, address.port)
            assert await closed_within(late, 2)
            late_writer.close()
            for reader, writer in inside:
                await reader.readuntil(b"\r\n\r\nok")
                writer.write(HEALTHZ)
                assert b" 200 " in await reader.readline()
                writer.close()
            await asyncio.sleep(0.1)
            assert await answer(address) == 200

    asyncio.run(main())


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("few_descriptors")
def test_running_out_of_descriptors_is_said_once_and_not_for_each_connection(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (storm,) = [each for each in logging.getLogger("asyncio").filters if isinstance(each, admission._NoStorm)]
    monkeypatch.setattr(storm, "_said", time.monotonic() - admission.QUIET)

    async def main() -> None:
        async with opened(connections=512) as address:
            waiting = [socket.socket() for _ in range(60)]
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (waiting[-1].fileno() + 3, hard))
            for client in waiting:
                client.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    client.connect((address.host, address.port))
            await asyncio.sleep(0.5)
            for client in waiting:
                client.close()

    asyncio.run(main())
    said = [record for record in caplog.records if "out of system resource" in record.getMessage()]
    assert len(said) == 1
