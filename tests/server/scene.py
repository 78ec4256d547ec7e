"""The bundled server on a real socket, and clients that speak JSON text frames to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web
from pydantic import SecretStr

from edgecam.http.listener import listening
from edgecam.server.access import Access
from edgecam.server.app import LINES, build_app
from edgecam.server.resumption import Lines
from edgecam.settings import Listen, ServerSettings

PATIENCE = 10.0  # seconds


class Peer:
    """One WebSocket client. `camera-list` news is set aside unless asked for."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.lists: list[Any] = []

    async def send(self, kind: str, **fields: object) -> None:
        await self.ws.send_str(json.dumps({"type": kind, **fields}))

    async def next(self) -> dict[str, Any]:
        """The next message other than `cameras`."""
        while True:
            body = json.loads(await self.ws.receive_str(timeout=PATIENCE))
            assert isinstance(body, dict)
            if body["type"] != "cameras":
                return body
            self.lists.append(body["cameras"])

    async def next_list(self) -> list[dict[str, Any]]:
        """The next news of the camera list."""
        while not self.lists:
            body = json.loads(await self.ws.receive_str(timeout=PATIENCE))
            assert body["type"] == "cameras", body
            self.lists.append(body["cameras"])
        listed = self.lists.pop(0)
        assert isinstance(listed, list)
        return listed

    async def nothing_more(self) -> None:
        """Everything that was sent to this client so far has been taken out with `next`."""
        await self.send("get-turn-config")
        assert (await self.next())["type"] == "turn-config"

    async def register(self, role: str, **fields: object) -> dict[str, Any]:
        """Register; the reply. The welcome has been taken out by then."""
        await self.send("register", role=role, **fields)
        return await self.next()

    async def closed(self) -> int | None:
        """The code with which the server closes; messages before it are dropped."""
        async with asyncio.timeout(PATIENCE):
            async for _ in self.ws:
                pass
        return self.ws.close_code


class Town:
    """A running server and its clients."""

    def __init__(
        self, address: Listen, session: aiohttp.ClientSession, stack: AsyncExitStack, app: web.Application
    ) -> None:
        self.address = address
        self.app = app
        self.session = session
        self._stack = stack

    @property
    def lines(self) -> Lines:
        """The server's own view of its connections."""
        return self.app[LINES]

    async def connect(self, path: str = "/ws", **headers: str) -> Peer:
        """A client that has been welcomed."""
        url = f"http://{self.address}{path}"
        # A server that reads this client slowly is not waited for at the end.
        patience = aiohttp.ClientWSTimeout(ws_close=0.5)
        opening = self.session.ws_connect(url, headers=headers, timeout=patience)
        peer = Peer(await self._stack.enter_async_context(opening))
        assert (await peer.next())["type"] == "welcome"
        return peer

    async def camera(self, camera: str = "front", **fields: object) -> Peer:
        peer = await self.connect()
        assert (await peer.register("sender", cameraId=camera, **fields))["type"] == "registered"
        return peer

    async def viewer(self, camera: str = "front", peer_id: str = "", **fields: object) -> Peer:
        peer = await self.connect()
        named = {"peerId": peer_id} if peer_id else {}
        assert (await peer.register("receiver", cameraId=camera, **named, **fields))["type"] == "registered"
        return peer

    async def json(self, path: str) -> Any:
        async with self.session.get(f"http://{self.address}{path}") as response:
            assert response.status == 200
            return await response.json()


@asynccontextmanager
async def town(token: str | None = None, access: Access | None = None, **settings: object) -> AsyncIterator[Town]:
    """The server with these `[server]` settings."""
    section = ServerSettings.model_validate({"listen": "127.0.0.1:0", "token": SecretStr(token or ""), **settings})
    app = build_app(section, token, access=access)
    async with listening(app, section.address, name="server") as bound:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session, AsyncExitStack() as stack:
            yield Town(bound, session, stack, app)


def play(
    script: Callable[[Town], Awaitable[None]], token: str | None = None, access: Access | None = None, **settings: object
) -> None:
    """Run a script against a server, in time."""

    async def main() -> None:
        async with asyncio.timeout(40):
            async with town(token, access, **settings) as place:
                await script(place)

    asyncio.run(main())
