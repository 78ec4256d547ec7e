"""The camera's side of signaling against real servers; only the sessions behind it are a recorder."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from aiohttp import web
from pydantic import SecretStr

from edgecam.health import HealthBoard
from edgecam.http.listener import listening
from edgecam.peers import Candidate, PeerKey, PeerLink
from edgecam.settings import IceServer, Listen
from edgecam.settings.signaling import WebsocketSignaling
from edgecam.signaling.percamera import PerCamera
from edgecam.signaling.websocket import WebsocketExchange
from edgecam.supervisor import Backoff, background

QUICK = Backoff(first=0.01, cap=0.05)
PATIENCE = 10.0  # seconds


class Recorder:
    """Sessions that write down what they are asked. `held`: peers whose negotiation waits for `release`.

    `broken`: what negotiating with a peer raises. `living`: peers whose consent is fresh.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.ice_servers: Sequence[IceServer] = ()
        self.known: dict[tuple[str, str], Sequence[IceServer]] = {}  # ICE servers by (via, camera)
        self.living: set[str] = set()
        self.broken: dict[str, Exception] = {}
        self.links: dict[str, PeerLink | None] = {}
        self._held: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._holding: set[str] = set()
        self._recorded = asyncio.Event()

    def hold(self, peer: str) -> None:
        self._holding.add(peer)

    def release(self, peer: str) -> None:
        self._holding.discard(peer)
        self._held[peer].set()

    async def recorded(self, *call: str) -> None:
        """Wait until that call has been made."""
        async with asyncio.timeout(PATIENCE):
            while call not in self.calls:
                self._recorded.clear()
                await self._recorded.wait()

    def _record(self, *call: str) -> None:
        self.calls.append(call)
        self._recorded.set()

    async def _negotiate(self, key: PeerKey, ice_servers: Sequence[IceServer]) -> None:
        self.ice_servers = ice_servers
        if key.peer in self._holding:
            await self._held[key.peer].wait()
        if key.peer in self.broken:
            raise self.broken[key.peer]

    async def answer(
        self,
        key: PeerKey,
        offer_sdp: str,
        ice_servers: Sequence[IceServer] = (),
        link: PeerLink | None = None,
        patience: float | None = None,
    ) -> str:
        self.links[key.peer] = link
        self._record("answer", key.peer, offer_sdp)
        await self._negotiate(key, ice_servers)
        return f"answer of {key.camera} to {offer_sdp}"

    async def offer(
        self,
        key: PeerKey,
        ice_servers: Sequence[IceServer] = (),
        link: PeerLink | None = None,
        patience: float | None = None,
        answer_within: float | None = None,
    ) -> str:
        self.links[key.peer] = link
        self._record("offer", key.peer)
        await self._negotiate(key, ice_servers)
        return f"offer of {key.camera}"

    async def accept_answer(self, key: PeerKey, answer_sdp: str) -> None:
        self._record("accept_answer", key.peer, answer_sdp)

    def add_candidate(self, key: PeerKey, candidate: Candidate | None) -> None:
        self._record("candidate", key.peer, candidate.candidate if candidate else "end")

    def knows(self, key: PeerKey) -> bool:
        return key.peer in self.links

    def alive(self, key: PeerKey) -> bool:
        return key.peer in self.living

    def ice_servers_known(self, via: str, camera: str, servers: Sequence[IceServer]) -> None:
        self.known[via, camera] = servers

    def signaling_lost(self, key: PeerKey) -> None:
        self._record("signaling_lost", key.peer)

    def is_private(self, camera: str) -> bool:
        return False

    async def until_public(self, camera: str) -> None:
        raise AssertionError("it is public")

    async def close(self, key: PeerKey, reason: str) -> None:
        self._record("close", key.peer, reason)


class Daemon:
    """Cameras under signaling, and what is known of their health."""

    def __init__(self, exchange: PerCamera, sessions: Recorder, board: HealthBoard, url: str = "") -> None:
        self.exchange = exchange
        self.url = url
        self.sessions = sessions
        self.board = board
        self._changed = asyncio.Event()
        board.watch(self._changed.set)

    async def until(self, condition: str, code: str = "", component: str = "signaling.home") -> str:
        """Wait for a state; its detail."""
        line = self.board.component(component)
        async with asyncio.timeout(PATIENCE):
            while (line.state.condition, line.state.code) != (condition, code):
                self._changed.clear()
                await self._changed.wait()
        return line.state.detail


@asynccontextmanager
async def daemon(
    address: Listen | str,
    cameras: Mapping[str, str] | None = None,
    *,
    token: str = "",
    sessions: Recorder | None = None,
) -> AsyncIterator[Daemon]:
    """Signaling as the daemon runs it, to a server's address or URL."""
    url = address if isinstance(address, str) else f"ws://{address}/ws"
    settings = WebsocketSignaling.model_validate({"url": url, "token": SecretStr(token)})
    board, recorder = HealthBoard(), sessions or Recorder()
    exchange = WebsocketExchange("home", settings, cameras or {"front": "Front door"}, recorder, board, QUICK)
    running = Daemon(exchange, recorder, board)
    async with background((exchange.name, exchange.run)):
        yield running


Script = Callable[[web.WebSocketResponse], Awaitable[None]]


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[Listen]:
    """A signaling server that does what `script` does with each socket."""

    async def socket(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(timeout=0.1)
        await ws.prepare(request)
        await script(ws)
        return ws

    app = web.Application()
    app.router.add_get("/ws", socket)
    async with listening(app, Listen("127.0.0.1", 0), name="server") as bound:
        yield bound


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run a test's coroutine, in time."""

    async def bounded() -> None:
        async with asyncio.timeout(40):
            await main()

    asyncio.run(bounded())
