"""The camera's side of the `rooms` dialect: a room made or joined over HTTP, and a WebSocket that relays what is said in it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Collection, Mapping
from pathlib import Path

import structlog

from edgecam.errors import ConfigError, SignalingError
from edgecam.health import Component, HealthBoard
from edgecam.peers import Sessions
from edgecam.settings.signaling import RoomsSignaling
from edgecam.signaling import rooms_wire as wire
from edgecam.signaling.connection import Connection
from edgecam.signaling.exchange import Exchange, Line
from edgecam.signaling.percamera import BACKOFF, PerCamera
from edgecam.signaling.reasons import endpoint, refused
from edgecam.signaling.rooms_calling import ANSWER_WITHIN, Calls, Company, Speech
from edgecam.signaling.rooms_http import TOKEN_CLOSES, RoomServer
from edgecam.supervisor import Backoff, retryable

log = structlog.get_logger(__name__)

GATHER = 1.0  # seconds that descriptions wait for STUN and TURN: a page may not understand the candidates that follow
ACCEPTED = 0.3  # seconds for which a connection has to stand: some servers open it first and look at the token then
ROOM_RETRY = (2.0, 5.0)  # seconds between two looks for a room that somebody else is to make
SHORTEST_LIFE = 2.0  # seconds; a server that ends a connection sooner has other reasons than an expired token
WRONG_PASSWORD_WAIT = 60.0  # seconds; more often would lock the account


class RoomsCamera:
    """One camera in its room. `run` is for `supervise`: it raises and never retries."""

    def __init__(
        self, name: str, settings: RoomsSignaling, camera: str, sessions: Sessions, component: Component, file: Path | None
    ) -> None:
        self._section = name
        self._via = f"signaling.{name}"
        self._settings = settings
        self._where = endpoint(settings.url)
        self._camera = camera
        self._sessions = sessions
        self._component = component
        self._server = RoomServer(name, settings, camera, file)
        self._line = Line()
        self._company = Company()
        self._connection: Connection | None = None

    def addresses_gone(self, addresses: Collection[str]) -> None:
        """The machine has lost these addresses."""
        if self._connection is not None:
            self._connection.addresses_gone(addresses)

    async def run(self) -> None:
        """Enter the room and exchange until the connection breaks. Raises SignalingError, perhaps grouped."""
        while True:
            began = time.monotonic()
            try:
                await self._visit()
            except (SignalingError, ExceptionGroup) as error:
                await self._after(error)
                if not self._server.token_ended or time.monotonic() - began < SHORTEST_LIFE:
                    raise

    async def _after(self, error: Exception) -> None:
        """Wait, if another attempt would only lock the account. Raises what is no SignalingError."""
        reason = retryable(error)
        if reason is None:
            raise error
        if reason.code == "signaling-auth":
            self._component.waiting(reason.code, str(reason))
            await asyncio.sleep(WRONG_PASSWORD_WAIT)

    async def _visit(self) -> None:
        async with self._server.http() as http:
            while (room := await self._server.enter(http)) is None:
                self._component.waiting("signaling-refused", f"{self._where} has no room {self._server.room}; waiting for it")
                await asyncio.sleep(random.uniform(*ROOM_RETRY))
            async with self._server.connected(http, room) as connection:
                self._connection = connection
                await self._exchange(connection, room)

    async def _exchange(self, connection: Connection, room: str) -> None:
        accepted = False

        async def settle() -> None:
            nonlocal accepted
            await asyncio.sleep(ACCEPTED)
            accepted = True
            self._component.running(f"{self._camera} is in room {room} of {self._where}")

        user = self._server.user
        async with asyncio.TaskGroup() as group:
            self._company.connected_anew()
            speech = Speech(connection, self._settings, self._company, user)
            exchange = Exchange(
                self._via, self._camera, self._sessions, speech, group, self._line, gather=GATHER, answer_within=ANSWER_WITHIN
            )
            calls = Calls(self._via, self._camera, self._company, speech, exchange, self._sessions, user)
            group.create_task(settle(), name=f"{self._via}.{self._camera}.settle")
            group.create_task(calls.run(), name=f"{self._via}.{self._camera}.calls")
            try:
                async for text in connection.texts():
                    self._take_text(connection, calls, text)
            finally:
                exchange.close()
            raise self._lost(connection, accepted)

    def _lost(self, connection: Connection, accepted: bool) -> SignalingError:
        code = connection.close_code
        if code in TOKEN_CLOSES and self._settings.login_path:
            self._server.token_ended = True
        if accepted:
            return connection.lost(self._settings.url)
        return refused(f"it closes the connection at once (code {code})", self._settings.url, self._section)

    def _take_text(self, connection: Connection, calls: Calls, text: str) -> None:
        try:
            heard = wire.decode(text, self._settings.wrapper)
        except wire.WireError as error:
            log.debug("message.malformed", via=self._via, camera=self._camera, reason=str(error))
            return
        if isinstance(heard.said, wire.Error):
            if connection.is_news(heard.said.message):
                log.warning("server.error", via=self._via, camera=self._camera, message=heard.said.message)
        else:
            calls.take(heard)


class RoomsExchange(PerCamera):
    """A `[signaling.NAME]` section at work: each of its cameras in a room of its own. `state_dir`: where the rooms are remembered.
    Raises ConfigError when they would share one."""

    def __init__(
        self,
        name: str,
        settings: RoomsSignaling,
        cameras: Mapping[str, str],
        sessions: Sessions,
        board: HealthBoard,
        backoff: Backoff = BACKOFF,
        state_dir: Path | None = None,
    ) -> None:
        def build(camera: str, component: Component) -> RoomsCamera:
            file = state_dir / f"room-{name}-{camera}" if state_dir is not None else None
            return RoomsCamera(name, settings, camera, sessions, component, file)

        if len(cameras) > 1 and settings.room and "{camera}" not in settings.room:
            raise ConfigError(
                f"[signaling.{name}] has {len(cameras)} cameras and one room, in which nobody could tell them apart",
                remedy=f'write room = "{settings.room}-{{camera}}", or name one of them in cameras',
            )
        super().__init__(name, cameras, board, backoff, build)
