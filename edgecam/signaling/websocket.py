"""The camera's side of the `websocket` dialect: one connection per camera, as a socket is one sender."""

from __future__ import annotations

import asyncio
import random
import re
import secrets
from collections.abc import Collection, Mapping

import aiohttp
import structlog

from edgecam.errors import EdgecamError
from edgecam.health import Component, HealthBoard
from edgecam.peers import Candidate, PeerKey, Sessions
from edgecam.settings.signaling import WebsocketSignaling
from edgecam.signaling import wire
from edgecam.signaling.connection import Connection, connected
from edgecam.signaling.exchange import Call, Exchange, Joined, Left, Line, RemoteAnswer, RemoteCandidate, RemoteOffer
from edgecam.signaling.percamera import BACKOFF, PerCamera
from edgecam.signaling.reasons import endpoint, refused
from edgecam.supervisor import Backoff

log = structlog.get_logger(__name__)

REGISTER_TIMEOUT = 10.0  # seconds that a server may take to answer `register`
TAKEN_RETRY = (2.0, 5.0)  # seconds, drawn anew each time; servers evict a stale sender after 15 to 60
REFRESH_INTERVAL = 300.0  # seconds; TURN credentials expire, and a server may count only messages as life
QUIET = 1.0  # seconds in which a server tells of a viewer that was there before the camera, if it ever does
PROBED = 10.0  # seconds for which such a viewer is called
ONLY_PEER = "receiver"  # the viewer on servers that know no peer ids
_TAKEN = re.compile(r"already (taken|registered|connected|exists)|role .*taken", re.IGNORECASE)
_ABSENT = re.compile(r"\bno\b.*\b(receiver|peer|viewer)|(receiver|peer|viewer).*\bnot\b|not connected", re.IGNORECASE)


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
        self._line = Line()
        self._connection: Connection | None = None
        # The instance id proves to the server that a new connection is this very camera: it replaces the old
        # one at once, which otherwise would hold the role until its heartbeat fails.
        token = settings.token.get_secret_value()
        self._registration = wire.Register(
            "sender", camera, title=title, instance_id=secrets.token_urlsafe(24), token=token
        )
        self._original = wire.Register("sender", token=token)

    def addresses_gone(self, addresses: Collection[str]) -> None:
        """The machine has lost these addresses."""
        if self._connection is not None:
            self._connection.addresses_gone(addresses)

    async def run(self) -> None:
        """Connect, register, exchange until the connection breaks. Raises SignalingError, perhaps grouped."""
        url, token = self._settings.url, self._settings.token.get_secret_value()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session,
            connected(session, url, self._section, headers, self._settings.heartbeat) as connection,
        ):
            self._connection = connection
            async with asyncio.TaskGroup() as group:
                speech = _Speech(connection, self._camera)
                exchange = Exchange(self._via, self._camera, self._sessions, speech, group, self._line)
                group.create_task(self._keep_registered(speech, exchange), name=f"{self._via}.{self._camera}.register")
                try:
                    async for text in connection.texts():
                        self._take_text(speech, exchange, text)
                finally:
                    exchange.close()
                raise connection.lost(url)

    async def _keep_registered(self, speech: _Speech, exchange: Exchange) -> None:
        """Register, repeatedly on this socket while another sender has the role; then refresh for ever."""
        while isinstance(reply := await self._register(speech), wire.Error):
            if reply.code != "sender-taken" and not _TAKEN.search(reply.message):
                if reply.code or self._registration is self._original:
                    raise refused(reply.message, self._settings.url, self._section)
                self._registration = self._original  # a server that takes nothing but the original fields
                continue
            self._component.waiting(
                "signaling-refused",
                f"{self._where} has another sender for {self._camera}; waiting for it to leave",
            )
            await asyncio.sleep(random.uniform(*TAKEN_RETRY))
        self._component.running(f"{self._camera} is registered at {self._where}")
        if not reply.camera_id and not reply.peer_id:
            await self._call_who_waits(speech, exchange)
        while True:
            await asyncio.sleep(REFRESH_INTERVAL)
            await speech.send(wire.GetTurnConfig())

    async def _call_who_waits(self, speech: _Speech, exchange: Exchange) -> None:
        """Not every server tells of a viewer that came before the camera. An offer to nobody only gets an error."""
        await asyncio.sleep(QUIET)
        if not speech.heard_of_viewer and not self._sessions.alive(PeerKey(self._via, self._camera, ONLY_PEER)):
            exchange.receive(ONLY_PEER, Call(PROBED))

    async def _register(self, speech: _Speech) -> wire.Registered | wire.Error:
        """What the server says to it. Raises SignalingError when it stays silent."""
        speech.forget_replies()
        await speech.send(self._registration)
        try:
            async with asyncio.timeout(REGISTER_TIMEOUT):
                return await speech.replies.get()
        except TimeoutError as error:
            raise refused("it does not answer register", self._settings.url, self._section) from error

    def _take_text(self, speech: _Speech, exchange: Exchange, text: str) -> None:
        try:
            message = wire.decode(text)
        except wire.WireError as error:
            log.debug("message.malformed", via=self._via, camera=self._camera, reason=str(error))
            return
        match message:
            case wire.Welcome(servers) | wire.Registered(_, servers) | wire.TurnConfig(servers):
                exchange.ice_servers = servers or exchange.ice_servers
                if isinstance(message, wire.Registered):
                    speech.registered = True
                    speech.reply(message)
            case wire.Error():
                self._take_error(speech, exchange, message)
            case _:
                speech.heard_of_viewer |= not isinstance(message, wire.Unknown | wire.PeerDisconnected)
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

    def _take_error(self, speech: _Speech, exchange: Exchange, error: wire.Error) -> None:
        if not speech.registered:
            speech.reply(error)
        elif not error.code and _ABSENT.search(error.message):
            exchange.receive(ONLY_PEER, Left())  # whom we have called
        elif error.code != "peer-absent" and speech.is_news(error.message):
            log.warning("server.error", via=self._via, camera=self._camera, message=error.message, code=error.code)


class _Speech:
    """What is said over a connection. Implements `exchange.Outgoing`."""

    def __init__(self, connection: Connection, camera: str) -> None:
        self.replies: asyncio.Queue[wire.Registered | wire.Error] = asyncio.Queue(maxsize=8)
        self.registered = False
        self.heard_of_viewer = False
        self.is_news = connection.is_news
        self._connection = connection
        self._camera = camera

    async def send(self, message: wire.Message) -> None:
        """Send a message. Raises SignalingError when the connection is gone."""
        await self._connection.send(wire.encode(message))

    def reply(self, reply: wire.Registered | wire.Error) -> None:
        """Hand the answer to `register` to who waits for it."""
        if not self.replies.full():
            self.replies.put_nowait(reply)

    def forget_replies(self) -> None:
        """Drop answers that came after nobody waited any more."""
        while not self.replies.empty():
            self.replies.get_nowait()

    async def send_offer(self, peer: str, sdp: str) -> None:
        await self.send(wire.Offer(sdp, *self._ids(peer)))

    async def send_answer(self, peer: str, sdp: str) -> None:
        await self.send(wire.Answer(sdp, *self._ids(peer)))

    async def send_candidate(self, peer: str, candidate: Candidate) -> None:
        await self.send(wire.IceCandidate(candidate, *self._ids(peer)))

    async def send_error(self, peer: str, error: EdgecamError) -> None:
        await self.send(wire.Error(str(error), error.code, *self._ids(peer)))

    def _ids(self, peer: str) -> tuple[str, str]:
        return ("", "") if peer == ONLY_PEER else (peer, self._camera)


class WebsocketExchange(PerCamera):
    """A `[signaling.NAME]` section at work: each of its cameras kept registered by its own connection.

    `cameras`: names to titles, of which the section may choose some.
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
        def build(camera: str, component: Component) -> WebsocketCamera:
            return WebsocketCamera(name, settings, camera, cameras[camera], sessions, component)

        super().__init__(name, cameras, board, backoff, build)
