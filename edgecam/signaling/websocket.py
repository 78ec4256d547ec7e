"""The camera's side of the `websocket` dialect: one connection per camera, as a socket is one sender."""

from __future__ import annotations

import asyncio
import random
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

import aiohttp
import structlog

from edgecam.errors import EdgecamError, SignalingError
from edgecam.health import Component, HealthBoard
from edgecam.peers import Sessions
from edgecam.settings import WebsocketSignaling
from edgecam.signaling import wire
from edgecam.signaling.exchange import Exchange, Joined, Left, RemoteAnswer, RemoteCandidate, RemoteOffer
from edgecam.signaling.reasons import endpoint, refused, unreachable
from edgecam.supervisor import Backoff, supervise

log = structlog.get_logger(__name__)

BACKOFF = Backoff(first=0.5, cap=30.0, reset_after=60.0)  # seconds
CONNECT_TIMEOUT = 10.0  # seconds for DNS, TCP, TLS and the upgrade together
REGISTER_TIMEOUT = 10.0  # seconds that a server may take to answer `register`
CLOSE_TIMEOUT = 0.8  # seconds that the closing handshake may take: stopping takes no more than one
TAKEN_RETRY = (2.0, 5.0)  # seconds, drawn anew each time; servers evict a stale sender after 15 to 60
REFRESH_INTERVAL = 300.0  # seconds; TURN credentials expire, and a server may count only messages as life
MAX_TOLD = 20  # different errors of the server that are logged per connection
ONLY_PEER = "receiver"  # the viewer on servers that know no peer ids
_TAKEN = re.compile(r"already (taken|registered|connected|exists)|role .*taken", re.IGNORECASE)


class WebsocketCamera:
    """One camera on one signaling server. `run` is for `supervise`: it raises and never retries."""

    def __init__(
        self,
        name: str,
        settings: WebsocketSignaling,
        camera: str,
        title: str,
        sessions: Sessions,
        component: Component,
    ) -> None:
        self._section = name
        self._via = f"signaling.{name}"
        self._settings = settings
        self._where = endpoint(settings.url)
        self._camera = camera
        self._sessions = sessions
        self._component = component
        # The instance id proves to the server that a new connection is this very camera: it replaces the old
        # one at once, which otherwise would hold the role until its heartbeat fails.
        self._registration = wire.Register(
            "sender",
            camera,
            title=title,
            instance_id=secrets.token_urlsafe(24),
            token=settings.token.get_secret_value(),
        )

    async def run(self) -> None:
        """Connect, register, exchange until the connection breaks. Raises SignalingError, perhaps grouped."""
        async with self._connected() as ws:
            async with asyncio.TaskGroup() as group:
                connection = _Connection(ws, self._camera)
                exchange = Exchange(self._via, self._camera, self._sessions, connection, group)
                group.create_task(self._keep_registered(connection), name=f"{self._via}.{self._camera}.register")
                async for text in connection.texts():
                    self._take_text(connection, exchange, text)
                raise SignalingError(
                    f"the signaling server {self._where} closed the connection{connection.reason}",
                    remedy="it is reconnected by itself; viewers keep their picture",
                    code="signaling-lost",
                )

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        token = self._settings.token.get_secret_value()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    ws = await session.ws_connect(
                        self._settings.url,
                        headers=headers,
                        heartbeat=self._settings.heartbeat,
                        max_msg_size=wire.MAX_MESSAGE_BYTES + 1,
                        timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT),
                    )
            except (aiohttp.ClientError, OSError, ValueError) as error:
                raise unreachable(error, self._settings.url, self._section) from error
            try:
                yield ws
            finally:
                with suppress(TimeoutError):
                    async with asyncio.timeout(CLOSE_TIMEOUT):
                        await ws.close()

    async def _keep_registered(self, connection: _Connection) -> None:
        """Register, repeatedly on this socket while another sender has the role; then refresh for ever."""
        while (reply := await self._register(connection)) is not None:
            if reply.code != "sender-taken" and not _TAKEN.search(reply.message):
                raise refused(reply.message, self._settings.url, self._section)
            self._component.waiting(
                "signaling-refused",
                f"{self._where} has another sender for {self._camera}; waiting for it to leave",
            )
            await asyncio.sleep(random.uniform(*TAKEN_RETRY))
        self._component.running(f"{self._camera} is registered at {self._where}")
        while True:
            await asyncio.sleep(REFRESH_INTERVAL)
            await connection.send(wire.GetTurnConfig())

    async def _register(self, connection: _Connection) -> wire.Error | None:
        """None once registered, else why not. Raises SignalingError when the server stays silent."""
        connection.forget_replies()
        await connection.send(self._registration)
        try:
            async with asyncio.timeout(REGISTER_TIMEOUT):
                reply = await connection.replies.get()
        except TimeoutError as error:
            raise refused("it does not answer register", self._settings.url, self._section) from error
        return reply if isinstance(reply, wire.Error) else None

    def _take_text(self, connection: _Connection, exchange: Exchange, text: str) -> None:
        try:
            message = wire.decode(text)
        except wire.WireError as error:
            log.debug("message.malformed", via=self._via, camera=self._camera, reason=str(error))
            return
        match message:
            case wire.Welcome(servers) | wire.Registered(_, servers) | wire.TurnConfig(servers):
                exchange.ice_servers = servers or exchange.ice_servers
                if isinstance(message, wire.Registered):
                    connection.registered = True
                    connection.reply(message)
            case wire.Error():
                self._take_error(connection, message)
            case _:
                self._take_peer_message(exchange, message)

    def _take_peer_message(self, exchange: Exchange, message: wire.Message | wire.Unknown) -> None:
        match message:
            case wire.PeerConnected("receiver", peer, _, offers):
                exchange.receive(peer or ONLY_PEER, Joined(offers, returning=bool(peer)))
            case wire.PeerDisconnected("receiver", peer):
                exchange.receive(peer or ONLY_PEER, Left())
            case wire.Offer(sdp, peer):
                exchange.receive(peer or ONLY_PEER, RemoteOffer(sdp))
            case wire.Answer(sdp, peer):
                exchange.receive(peer or ONLY_PEER, RemoteAnswer(sdp))
            case wire.IceCandidate(candidate, peer):
                exchange.receive(peer or ONLY_PEER, RemoteCandidate(candidate))
            case _:
                log.debug("message.ignored", via=self._via, camera=self._camera, message=type(message).__name__)

    def _take_error(self, connection: _Connection, error: wire.Error) -> None:
        if not connection.registered:
            connection.reply(error)
        elif error.code != "peer-absent" and connection.is_news(error.message):
            log.warning("server.error", via=self._via, camera=self._camera, message=error.message, code=error.code)


class _Connection:
    """An open socket to a signaling server. Implements `exchange.Outgoing`."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse, camera: str) -> None:
        self.replies: asyncio.Queue[wire.Registered | wire.Error] = asyncio.Queue(maxsize=8)
        self._ws = ws
        self._camera = camera
        self.registered = False
        self._told: set[str] = set()

    async def texts(self) -> AsyncIterator[str]:
        """Text frames until the connection ends."""
        async for message in self._ws:
            if message.type is aiohttp.WSMsgType.TEXT:
                yield message.data

    @property
    def reason(self) -> str:
        """Why it ended, for people."""
        code, error = self._ws.close_code, self._ws.exception()
        if error is not None:
            return f" ({error or type(error).__name__})"
        return f" (code {code})" if code else ""

    async def send(self, message: wire.Message) -> None:
        """Send a message. Raises SignalingError when the connection is gone."""
        try:
            await self._ws.send_str(wire.encode(message))
        except (ConnectionError, aiohttp.ClientError) as error:
            raise SignalingError("the connection to the signaling server broke", code="signaling-lost") from error

    def reply(self, reply: wire.Registered | wire.Error) -> None:
        """Hand the answer to `register` to who waits for it."""
        if not self.replies.full():
            self.replies.put_nowait(reply)

    def forget_replies(self) -> None:
        """Drop answers that came after nobody waited any more."""
        while not self.replies.empty():
            self.replies.get_nowait()

    def is_news(self, message: str) -> bool:
        """Whether an error of the server has not been logged on this connection."""
        if message in self._told or len(self._told) >= MAX_TOLD:
            return False
        self._told.add(message)
        return True

    async def send_offer(self, peer: str, sdp: str) -> None:
        await self.send(wire.Offer(sdp, *self._ids(peer)))

    async def send_answer(self, peer: str, sdp: str) -> None:
        await self.send(wire.Answer(sdp, *self._ids(peer)))

    async def send_error(self, peer: str, error: EdgecamError) -> None:
        await self.send(wire.Error(str(error), error.code, *self._ids(peer)))

    def _ids(self, peer: str) -> tuple[str, str]:
        return ("", "") if peer == ONLY_PEER else (peer, self._camera)


class WebsocketExchange:
    """A `[signaling.NAME]` section at work: each of its cameras kept registered by its own connection.

    `cameras`: names to titles, of which the section may choose some. `components`: the names of their lines
    on the board, `signaling.NAME`, or `signaling.NAME.CAMERA` when there are several.
    """

    def __init__(
        self,
        name: str,
        settings: WebsocketSignaling,
        cameras: Mapping[str, str],
        sessions: Sessions,
        board: HealthBoard,
        backoff: Backoff = BACKOFF,
    ) -> None:
        self.name = f"signaling.{name}"
        self._backoff = backoff
        chosen = [camera for camera in settings.cameras or cameras if camera in cameras]
        self._cameras: list[tuple[WebsocketCamera, Component]] = []
        for camera in chosen:
            component = board.component(self.name if len(chosen) == 1 else f"{self.name}.{camera}")
            connection = WebsocketCamera(name, settings, camera, cameras[camera], sessions, component)
            self._cameras.append((connection, component))

    @property
    def components(self) -> tuple[str, ...]:
        return tuple(component.name for _, component in self._cameras)

    async def run(self) -> None:
        """Run until cancelled: losing a server is reported on the board and retried for ever."""
        async with asyncio.TaskGroup() as group:
            for camera, component in self._cameras:
                group.create_task(supervise(camera.run, component, self._backoff), name=component.name)
