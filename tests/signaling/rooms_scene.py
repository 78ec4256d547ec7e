"""One camera in a room of a server that does what a test tells it, over real HTTP and WebSockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

from aiohttp import web

from edgecam.health import HealthBoard
from edgecam.http.listener import listening
from edgecam.settings import Listen
from edgecam.settings.signaling import RoomsSignaling
from edgecam.signaling.rooms import RoomsExchange
from edgecam.supervisor import background
from tests.signaling.scene import PATIENCE, QUICK, Daemon, Recorder

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class House:
    """A server whose paths and sockets a test decides about. `asked`: its requests; `sockets`: those that have been opened."""

    def __init__(self) -> None:
        self.rooms = {"r1"}
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.answers: dict[str, Answer] = {}  # path to what is done there instead of the usual
        self._sockets: asyncio.Queue[Side] = asyncio.Queue()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Listen]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        async with listening(app, Listen("127.0.0.1", 0), name="house") as bound:
            yield bound

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.rel_url}")
        self.headers.append(dict(request.headers))
        if request.path in self.answers:
            return await self.answers[request.path](request)
        parts = request.path.strip("/").split("/")
        if parts == ["create-room"]:
            return web.json_response({"room_id": "r1"})
        if parts[0] == "join-room":
            return web.json_response({"room_id": parts[1]}, status=200 if parts[1] in self.rooms else 404)
        if parts[0] == "ws" and len(parts) == 2:
            return await self.socket(request)
        return web.json_response({"detail": "Not Found"}, status=404)

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        """Open the socket, for `camera`, until it is closed."""
        ws = web.WebSocketResponse(timeout=0.1)
        await ws.prepare(request)
        side = Side(ws)
        self._sockets.put_nowait(side)
        await side.over.wait()
        return ws

    async def camera(self) -> Side:
        """The next socket that the camera opens."""
        async with asyncio.timeout(PATIENCE):
            return await self._sockets.get()


class Side:
    """The server's end of the camera's socket."""

    def __init__(self, ws: web.WebSocketResponse) -> None:
        self.over = asyncio.Event()
        self._ws = ws

    async def say(self, **body: object) -> None:
        await self._ws.send_str(json.dumps(body))

    async def hears(self, kind: str) -> dict[str, Any]:
        """The next message of that type from the camera."""
        while True:
            body = json.loads(await self._ws.receive_str(timeout=PATIENCE))
            if body["type"] == kind:
                assert isinstance(body, dict)
                return body

    async def close(self, code: int = 1000) -> None:
        await self._ws.close(code=code)
        self.over.set()


@asynccontextmanager
async def rooms(
    house: House, *, sessions: Recorder | None = None, state_dir: Path | None = None, at: Listen | None = None, **settings: Any
) -> AsyncIterator[Daemon]:
    """The camera `front` with these settings of its section. `at`: where the house listens already."""
    async with house.listening() if at is None else nullcontext(at) as address:
        section = RoomsSignaling.model_validate({"type": "rooms", "url": f"http://{address}", **settings})
        board, recorder = HealthBoard(), sessions or Recorder()
        exchange = RoomsExchange("home", section, {"front": "Front door"}, recorder, board, QUICK, state_dir)
        async with background((exchange.name, exchange.run)):
            yield Daemon(exchange, recorder, board, f"http://{address}")
