"""Each dialect's server, tried: there or not, with which certificate, letting the camera in or not."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from pydantic import TypeAdapter

from edgecam.doctor.findings import Outcome
from edgecam.doctor.signaling import SignalingResult, try_signaling
from edgecam.http.listener import listening
from edgecam.settings import Listen
from edgecam.settings.signaling import Signaling
from tests.server.scene import town
from tests.signaling.rooms_scene import House
from tests.signaling.scene import run

SECTIONS: dict[str, dict[str, Any]] = {
    "websocket": {"url": "ws://HOST/ws"},
    "rooms": {"url": "http://HOST", "login_path": "/login", "login": "cam", "password": "guess", "room": "hall"},
    "socketio-call": {"url": "http://HOST", "email": "cam@calls.example", "callers": ["*"]},
    "socketio-room": {"url": "http://HOST", "room": "hall"},
    "mediasoup": {"url": "http://HOST", "room": "hall"},
    "whip": {"url": "http://HOST/{camera}/whip", "token": "guess"},
}


async def tried(kind: str, host: str, *, daemon_line: dict[str, Any] | None = None, **more: object) -> SignalingResult:
    table = {"type": kind, **SECTIONS[kind], **more}
    table["url"] = str(table["url"]).replace("HOST", host)
    settings: Signaling = TypeAdapter(Signaling).validate_python(table)
    return await try_signaling("home", settings, "front", daemon_line)


@asynccontextmanager
async def answering(status: int) -> AsyncIterator[Listen]:
    """A server that gives everybody the same answer."""

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({}, status=status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with listening(app, Listen("127.0.0.1", 0), name="server") as bound:
        yield bound


@pytest.mark.parametrize("kind", SECTIONS)
def test_a_server_that_is_not_there_is_told_in_every_dialect(kind: str) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        gone = await tried(kind, f"127.0.0.1:{port}")
        assert (gone.finding.outcome, gone.finding.code) == (Outcome.PROBLEM, "signaling-refused")
        assert "nothing listens on that port" in gone.finding.detail
        unknown = await tried(kind, "no-such-host.invalid:8080")
        assert unknown.finding.code == "signaling-dns"
        async with answering(200) as address:
            url = SECTIONS[kind]["url"].replace("http:", "https:").replace("ws:", "wss:")
            assert (await tried(kind, str(address), url=url)).finding.code == "signaling-tls"

    run(main)


@pytest.mark.parametrize("kind", SECTIONS)
def test_a_server_that_does_not_let_the_camera_in_is_told_in_every_dialect(kind: str) -> None:
    async def main() -> None:
        async with answering(401) as address:
            result = await tried(kind, str(address))
            assert result.finding.code == "signaling-auth", result.finding
            assert "guess" not in f"{result.finding}"
            assert result.date, "its Date header is for the clock"
        async with answering(502) as address:
            assert (await tried(kind, str(address))).finding.code == "signaling-refused"

    run(main)


def test_what_works_is_said_and_leaves_nothing_behind() -> None:
    house = House()

    async def login(_request: web.Request) -> web.Response:
        return web.json_response({"access_token": "t"})

    house.answers["/login"] = login

    async def main() -> None:
        async with town() as server:
            found = (await tried("websocket", str(server.address))).finding
            assert "takes camera front" in found.detail
        async with house.listening() as address:
            assert "has no room hall" in (await tried("rooms", str(address))).finding.detail
            house.rooms.add("hall")
            assert "has room hall" in (await tried("rooms", str(address))).finding.detail
            house.asked.clear()
            line = {"condition": "running", "detail": "", "code": ""}
            said = (await tried("rooms", str(address), daemon_line=line)).finding
            assert "the running daemon is registered there" in said.detail
            assert house.asked == ["GET /"], "neither a login nor a room for a daemon that is in already"
        async with answering(200) as address:
            for kind in ("socketio-call", "socketio-room", "mediasoup", "whip"):
                assert (await tried(kind, str(address))).finding.outcome is Outcome.OK
        async with answering(404) as address:
            assert "where Socket.IO should be" in (await tried("socketio-room", str(address))).finding.detail

    run(main)
