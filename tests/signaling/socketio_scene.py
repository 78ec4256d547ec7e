"""The Socket.IO dialects against a server that does what a test says; only the sessions behind them are a recorder."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import socketio
from aiohttp import web

from edgecam.health import HealthBoard
from edgecam.http.listener import listening
from edgecam.peers import Ended, PeerKey
from edgecam.settings import Listen
from edgecam.settings.signaling import SocketioCallSignaling, SocketioRoomSignaling
from edgecam.signaling.socketio_call import CallCamera, CallExchange
from edgecam.signaling.socketio_room import RoomExchange
from edgecam.supervisor import background
from tests.signaling.scene import PATIENCE, QUICK, Recorder

CAMERA = "front@calls.example"
ANNA = "anna@calls.example"


class Endings(Recorder):
    """A recorder whose sessions can be seen to end."""

    def __init__(self) -> None:
        super().__init__()
        self._over: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._reasons: dict[str, str] = {}

    async def ended(self, key: PeerKey) -> Ended:
        await self._over[key.peer].wait()
        return Ended(self._reasons[key.peer])

    def end(self, peer: str, reason: str) -> None:
        """That session is over."""
        self.links.pop(peer, None)
        self._reasons[peer] = reason
        self._over.pop(peer, asyncio.Event()).set()

    async def close(self, key: PeerKey, reason: str) -> None:
        await super().close(key, reason)
        self.end(key.peer, reason)


class Post:
    """A Socket.IO server. What the camera emits is in `said`; `logins` are the statuses that logging in answers, 200 when empty."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Any]] = []
        self.logins: list[int] = []
        self.attempts: list[dict[str, Any]] = []
        self.queries: list[Mapping[str, str]] = []
        self.sids: list[str] = []
        self.url = ""
        self.io = socketio.AsyncServer(async_mode="aiohttp", cors_allowed_origins=[])
        self._news = asyncio.Condition()
        self._taken = 0
        self.io.on("connect", self._connected)
        self.io.on("*", self._heard)

    async def _connected(self, sid: str, environ: dict[str, Any], _auth: object = None) -> None:
        self.queries.append(environ["aiohttp.request"].query)
        self.sids.append(sid)

    async def _heard(self, event: str, _sid: str, *arguments: Any) -> None:
        async with self._news:
            self.said.append((event, arguments[0] if arguments else None))
            self._news.notify_all()

    async def login(self, request: web.Request) -> web.Response:
        self.attempts.append(await request.json())
        status = self.logins.pop(0) if self.logins else 200
        if status != 200:
            return web.json_response({"detail": "no"}, status=status)
        return web.json_response({"role": "doctor", "message": "ok", "access_token": f"token-{len(self.attempts)}"})

    async def next(self) -> tuple[str, Any]:
        """The camera's next event."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: len(self.said) > self._taken)
            self._taken += 1
            return self.said[self._taken - 1]

    async def until(self, event: str) -> Any:
        """The body of the camera's next event of that name; others are passed over."""
        while True:
            name, body = await self.next()
            if name == event:
                return body

    async def emit(self, event: str, *arguments: Any) -> None:
        """Say something to the camera."""
        await self.io.emit(event, arguments if len(arguments) != 1 else arguments[0])

    async def drop(self) -> None:
        """End the camera's connection."""
        await self.io.disconnect(self.sids[-1])

    async def nothing_more(self) -> None:
        """The camera has said nothing further by the time that it acknowledges an event sent now."""
        before = len(self.said)
        await self.io.call("are-you-there", to=self.sids[-1], timeout=PATIENCE)
        assert self.said[before:] == []
        assert len(self.said) == self._taken, self.said[self._taken :]


@asynccontextmanager
async def post() -> AsyncIterator[Post]:
    """A running server."""
    running, app = Post(), web.Application()
    running.io.attach(app)
    app.router.add_post("/api/auth/login", running.login)
    async with listening(app, Listen("127.0.0.1", 0), name="server") as bound:
        running.url = f"http://{bound}"
        try:
            yield running
        finally:
            await running.io.shutdown()


class Town:
    """A dialect at work, its sessions and its health."""

    def __init__(self, sessions: Endings, board: HealthBoard) -> None:
        self.sessions = sessions
        self.board = board
        self.camera: CallCamera | None = None
        self._changed = asyncio.Event()
        board.watch(self._changed.set)

    async def until(self, condition: str, code: str = "") -> str:
        """Wait for a state of the connection; its detail."""
        line = self.board.component("signaling.town")
        async with asyncio.timeout(PATIENCE):
            while (line.state.condition, line.state.code) != (condition, code):
                self._changed.clear()
                await self._changed.wait()
        return line.state.detail


@asynccontextmanager
async def calling(server: Post | str, **settings: Any) -> AsyncIterator[Town]:
    """The camera `front` with an account on the server."""
    url = server if isinstance(server, str) else server.url
    section = {"type": "socketio-call", "url": url, "email": CAMERA, "password": "secret", "callers": [ANNA], **settings}
    town = Town(Endings(), HealthBoard())
    exchange = CallExchange(
        "town", SocketioCallSignaling.model_validate(section), {"front": "Front door"}, town.sessions, town.board, QUICK
    )
    caller = exchange.callers["front"]
    assert isinstance(caller, CallCamera)
    town.camera = caller
    async with background((exchange.name, exchange.run)):
        yield town


@asynccontextmanager
async def meeting(server: Post, cameras: Mapping[str, str] | None = None, **settings: Any) -> AsyncIterator[Town]:
    """The camera `front`, or others, in a room."""
    section = {"type": "socketio-room", "url": server.url, "room": "hall", **settings}
    town = Town(Endings(), HealthBoard())
    exchange = RoomExchange(
        "town", SocketioRoomSignaling.model_validate(section), cameras or {"front": "Front door"}, town.sessions, town.board, QUICK
    )
    async with background((exchange.name, exchange.run)):
        yield town
