"""The camera as a producer in a mediasoup SFU behind a Socket.IO server (seed 003): sent there once, watched there by many."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Collection, Mapping
from typing import Any

import structlog

from edgecam.errors import ConfigError, NegotiationError, SignalingError, ViewerRefusedError
from edgecam.health import Component, HealthBoard
from edgecam.peers import PeerKey, Publications
from edgecam.settings.signaling import MediasoupSignaling
from edgecam.signaling.mediasoup_calls import Calls, ServerHabits, refused, require_no_error
from edgecam.signaling.mediasoup_rtp import LocalVideo, RemoteTransport, agree
from edgecam.signaling.percamera import BACKOFF, PerCamera, public
from edgecam.signaling.socketio_client import ServerAddress, SocketioConnection, ToldErrors, connected, lost, said_by
from edgecam.supervisor import Backoff

log = structlog.get_logger(__name__)

JOIN_TIMEOUT = 10.0  # seconds for `roomJoined`
ACKNOWLEDGED = 2.0  # seconds for which `roomJoined` is still awaited when the server has acknowledged `joinRoom`
RESOLVE_TIMEOUT = 3.0  # seconds
THROWN_OUT = 30.0  # seconds after joining in which a server that closes the connection may mean the name


class MediasoupCamera:
    """One camera in one room. Implements `percamera.CameraConnection`."""

    def __init__(
        self, name: str, settings: MediasoupSignaling, camera: str, sessions: Publications, component: Component, told: ToldErrors
    ) -> None:
        self._address = ServerAddress(name, settings.url, settings.path)
        self._camera = camera
        self._sessions = sessions
        self._component = component
        self._told = told
        self._key = PeerKey(f"signaling.{name}", camera, "server")
        self._room = settings.room.replace("{camera}", camera)
        self._participant = settings.participant.replace("{camera}", camera)
        self._email = settings.email.replace("{camera}", camera)
        self._habits = ServerHabits()
        self._connection: SocketioConnection | None = None
        self._joined_at: float | None = None
        self._room_joined = asyncio.Event()
        self._refusal = ""

    def addresses_gone(self, addresses: Collection[str]) -> None:
        """The machine has lost these addresses."""
        if self._connection is not None:
            self._connection.addresses_gone(addresses)

    async def run(self) -> None:
        """Join, produce, stay until the connection or the session is gone. Raises SignalingError, perhaps grouped.

        The session outlives the connection: as long as the server confirms that it wants to receive, its transport is there, and
        coming back means joining the room only. A session that is over takes the connection along: servers forget a
        participant's transports and producers when its socket goes, and nothing else would have them forget the old ones."""
        await public(self._sessions, self._camera, self._component)
        self._joined_at, self._refusal = None, ""
        self._room_joined.clear()
        async with connected(self._address) as connection:
            self._connection = connection
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(connection), name=f"{self._key.via} events")
                await self._join(connection)
                await self._stay(connection)

    # the connection

    async def _read(self, connection: SocketioConnection) -> None:
        async for event, arguments in connection.events():  # servers may add arguments: connection state recovery does
            if event == "roomJoined":
                self._room_joined.set()
            elif event in {"error", "joinError", "joinRoomError"}:
                self._take_error(event, said_by(arguments))
            else:
                log.debug("message.ignored", via=self._key.via, camera=self._camera, message=event[:40])
        raise self._lost()

    def _take_error(self, event: str, text: str) -> None:
        if self._joined_at is None:
            self._refusal = f"{event}: {text}"
            self._room_joined.set()
        elif self._told.is_news(text):
            log.warning("server.error", via=self._key.via, camera=self._camera, message=text)

    def _lost(self) -> SignalingError:
        error = lost(self._address)
        error.remedy = self._remedy("it is reconnected by itself")
        return error

    def _remedy(self, usual: str) -> str:
        """Also for a camera that was thrown out of the room, which servers do without a word."""
        if self._joined_at is None or time.monotonic() - self._joined_at > THROWN_OUT:
            return usual
        return (
            f"{usual}; if this repeats, another participant is called {self._participant!r}: "
            f"set [signaling.{self._address.section}] participant"
        )

    async def _join(self, connection: SocketioConnection) -> None:
        """Into the room: the event counts; an acknowledgement alone counts when the event does not follow."""
        body = {"roomId": self._room, "participantName": self._participant, "userEmail": self._email}
        acknowledged = await connection.ask("joinRoom", body)
        event = asyncio.ensure_future(self._room_joined.wait())
        either: set[asyncio.Future[Any]] = {event, acknowledged}
        try:
            await asyncio.wait(either, timeout=JOIN_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
            if acknowledged.done():
                require_no_error(connection, "joinRoom", acknowledged.result())
                await asyncio.wait({event}, timeout=ACKNOWLEDGED)
            elif not event.done():
                raise refused(connection, "it does not answer joinRoom")
        finally:
            event.cancel()
        if self._refusal:
            raise refused(connection, self._refusal)
        self._joined_at = time.monotonic()

    # the session

    async def _stay(self, connection: SocketioConnection) -> None:
        """Until the session is over. Raises SignalingError then."""
        if not self._sessions.alive(self._key):
            await self._produce(connection)
        over = asyncio.ensure_future(self._sessions.ended(self._key))
        try:
            sends = await self._sessions.connected(self._key)
            if sends:
                self._component.running(f"{self._camera} is in room {self._room} at {self._address.shown}")
            ended = await over
        finally:
            over.cancel()
        what = "is no longer sent to" if sends else "does not reach"
        raise SignalingError(
            f"{self._camera} {what} room {self._room} at {self._address.shown}: {ended.reason}",
            remedy=self._remedy("it is published anew by itself"),
            code=ended.code or "signaling-lost",
        )

    async def _produce(self, connection: SocketioConnection) -> None:
        """A new session, and a producer for it."""
        calls = Calls(connection, self._habits)
        try:
            capabilities = await calls.capabilities(self._room)
            transport = await calls.create_transport()
            # The server is ICE-lite: it waits for our checks and needs none of our candidates.
            offer = await self._sessions.publish(self._key, transport.ice_servers, None, 0.0)
            agreed = agree(LocalVideo.of(offer), capabilities)
            await calls.connect_transport(transport, transport.dtls_parameters(agreed.video))
            producer = await calls.produce(transport, agreed.rtp_parameters())
            await self._sessions.accept_answer(self._key, transport.answer(agreed, await _resolved(transport)))
        except (NegotiationError, ViewerRefusedError) as error:
            await self._sessions.close(self._key, "the camera could not be produced")
            message = f"{self._camera} cannot be sent to {self._address.shown}: {error.message}"
            raise SignalingError(message, remedy=error.remedy, code=error.code) from error
        except BaseException:
            await self._sessions.close(self._key, "the camera could not be produced")
            raise
        log.info("mediasoup.produced", via=self._key.via, camera=self._camera, producer=producer[:8], profile=agreed.profile_level_id)


async def _resolved(transport: RemoteTransport) -> Mapping[str, str]:
    """The addresses of candidates that are given by name; ICE itself resolves none but `.local` ones."""
    found: dict[str, str] = {}
    loop = asyncio.get_running_loop()
    for host, _ in transport.candidates:
        if any(character.isalpha() for character in host) and ":" not in host and not host.endswith(".local") and host not in found:
            try:
                async with asyncio.timeout(RESOLVE_TIMEOUT):
                    information: list[Any] = await loop.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
            except (OSError, TimeoutError):
                log.warning("candidate.unresolved", host=host)
            else:
                found[host] = str(information[0][4][0])
    return found


def mediasoup(
    name: str,
    settings: MediasoupSignaling,
    cameras: Mapping[str, str],
    sessions: Publications,
    board: HealthBoard,
    backoff: Backoff = BACKOFF,
) -> PerCamera:
    """The section at work. Raises ConfigError where several cameras would have one name."""
    if len(cameras) > 1 and "{camera}" not in settings.participant + settings.room:
        raise ConfigError(
            f"[signaling.{name}] gives {len(cameras)} cameras the name {settings.participant!r} in one room",
            remedy="write {camera} in its participant, or name one camera in cameras",
        )
    told = ToldErrors()
    return PerCamera(name, cameras, board, backoff, lambda camera, line: MediasoupCamera(name, settings, camera, sessions, line, told))
