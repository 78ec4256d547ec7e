"""A socket to a signaling server: whatever becomes of it, it ends in an error that is retried."""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp import web

from edgecam.signaling.connection import connected
from tests.signaling.scene import run, scripted


def test_a_ping_that_waits_on_a_connection_which_is_gone_is_the_end_of_it_and_no_crash() -> None:
    async def script(ws: web.WebSocketResponse) -> None:
        await ws.send_str("last words")
        await ws.ping()
        await ws.receive()

    async def main() -> None:
        async with scripted(script) as address, aiohttp.ClientSession() as http:
            async with connected(http, f"ws://{address}/ws", "home", {}, 30.0) as connection:
                transport = connection._ws._writer.transport
                async with asyncio.timeout(5):
                    while len(connection._ws._reader._buffer) < 2:  # noqa: ASYNC110 - nobody has read them, nobody tells
                        await asyncio.sleep(0.005)
                transport.close()
                assert [text async for text in connection.texts()] == ["last words"]
                assert connection.lost(f"ws://{address}/ws").code == "signaling-lost"

    run(main)


def test_a_frame_that_is_too_large_ends_the_connection() -> None:
    async def script(ws: web.WebSocketResponse) -> None:
        await ws.send_str("x" * 300_000)
        await ws.receive()

    async def main() -> None:
        async with scripted(script) as address, aiohttp.ClientSession() as http:
            async with connected(http, f"ws://{address}/ws", "home", {}, 30.0) as connection:
                assert [text async for text in connection.texts()] == []
                assert "1009" in str(connection.lost(f"ws://{address}/ws"))

    run(main)
