"""Socket.IO connections: how they come about, how a server that is gone or silent is noticed, and what is said of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import socketio
from aiohttp import web

from edgecam.errors import ConfigError, SignalingError
from edgecam.http.listener import listening
from edgecam.settings import Listen
from edgecam.signaling import dialects, socketio_client
from edgecam.signaling.socketio_client import ServerAddress, connected
from tests.signaling.scene import PATIENCE, run


@asynccontextmanager
async def serving(**options: object) -> AsyncIterator[tuple[socketio.AsyncServer, str]]:
    io, app = socketio.AsyncServer(async_mode="aiohttp", cors_allowed_origins=[], **options), web.Application()
    io.attach(app)
    async with listening(app, Listen("127.0.0.1", 0), name="server") as bound:
        try:
            yield io, f"http://{bound}"
        finally:
            await io.shutdown()


async def why(url: str) -> SignalingError:
    with pytest.raises(SignalingError) as raised:
        async with connected(ServerAddress("home", url)):
            pass
    return raised.value


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]])
def test_it_connects_over_whatever_the_server_speaks(transports: list[str]) -> None:
    async def main() -> None:
        async with serving(transports=transports) as (io, url):
            heard: asyncio.Queue[object] = asyncio.Queue()
            io.on("hello", lambda _sid, body: heard.put_nowait(body))
            async with connected(ServerAddress("home", url, query={"roomId": "a b"})) as connection:
                await connection.emit("hello", {"n": 1})
                assert await asyncio.wait_for(heard.get(), PATIENCE) == {"n": 1}
                for number in range(50):
                    await io.emit("count", (number, "a further argument"))
                await io.disconnect(connection.sid)
                events = [arguments async for _event, arguments in connection.events()]
                assert events == [(number, "a further argument") for number in range(50)], "all of them, in order"
                with pytest.raises(SignalingError, match="ended"):
                    await connection.emit("hello", {"n": 2})

    run(main)


def test_why_there_is_no_connection_is_said() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        error = await why(f"http://127.0.0.1:{port}")
        assert (error.code, "nothing listens" in str(error)) == ("signaling-unreachable", True)
        assert "cannot be resolved" in str(await why("http://nowhere.invalid"))
        async with listening(web.Application(), Listen("127.0.0.1", 0), name="other") as bound:
            error = await why(f"http://user:pass@{bound}/?secret=1")
            assert (error.code, "does not speak Socket.IO (HTTP 404" in str(error)) == ("signaling-refused", True)
            assert "pass" not in str(error)
            assert "secret" not in str(error)

    run(main)


def test_what_the_server_says_when_it_refuses_is_repeated() -> None:
    async def main() -> None:
        async with serving() as (io, url):

            async def refuse(_sid: str, _environ: object, _auth: object = None) -> None:
                raise socketio.exceptions.ConnectionRefusedError("this meeting is full")

            io.on("connect", refuse)
            error = await why(url)
            assert error.code == "signaling-refused"
            assert "this meeting is full" in str(error)

    run(main)


def test_a_server_that_takes_connections_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socketio_client, "CONNECT_TIMEOUT", 0.2)

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            error = await why(f"http://127.0.0.1:{silent.getsockname()[1]}")
            assert "did not answer in time" in str(error)

    run(main)


def test_a_server_that_falls_silent_is_noticed_by_the_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socketio_client, "HEARTBEAT", 0.4)

    async def main() -> None:
        async with serving() as (_io, url), relay(url) as (through, held):
            async with connected(ServerAddress("home", through)) as connection:
                held.set()
                async with asyncio.timeout(5):  # the server's own time-out is 45 s here
                    assert [event async for event in connection.events()] == []

    run(main)


@asynccontextmanager
async def relay(url: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """TCP on the way to a server; once the event is set nothing goes through any more, and nobody is told."""
    host, _, port = url.removeprefix("http://").partition(":")
    held = asyncio.Event()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if held.is_set():
                continue
            writer.write(data)
        writer.close()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection(host, int(port))
        async with asyncio.TaskGroup() as group:
            group.create_task(carry(reader, onward_writer))
            group.create_task(carry(onward_reader, writer))

    async with await asyncio.start_server(pass_on, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", held


def test_a_connection_from_an_address_that_is_gone_is_given_up_at_once() -> None:
    async def main() -> None:
        async with serving() as (_io, url), connected(ServerAddress("home", url)) as connection:
            connection.addresses_gone({"192.0.2.1"})
            await connection.emit("still", {})
            connection.addresses_gone({"127.0.0.1"})
            async with asyncio.timeout(5):
                assert [event async for event in connection.events()] == []

    run(main)


def test_a_missing_library_is_named_with_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialects, "find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match="apt install python3-socketio"):
        dialects._require("socketio", "python3-socketio", "home")
