"""The camera's side of the `socketio-call` dialect: an account among people who call each other by e-mail address.

docs/signaling-socketio-call.md has the messages. The server swaps `to` for `from` on what it passes on.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Collection, Mapping
from typing import Any
from uuid import uuid4

import structlog
from yarl import URL

from edgecam.errors import ConfigError, SignalingError, ViewerRefusedError
from edgecam.health import Component, HealthBoard
from edgecam.settings.signaling import SocketioCallSignaling
from edgecam.signaling import exchange, fields
from edgecam.signaling.account import Account, WrongPasswordError
from edgecam.signaling.calls import Call, Caller, CallState
from edgecam.signaling.conversation import Conversation, Subscriber, WatchedSessions, hang_up_all, say_end
from edgecam.signaling.exchange import HungUp, Line
from edgecam.signaling.percamera import BACKOFF, PerCamera
from edgecam.signaling.socketio_client import (
    ServerAddress,
    SocketioConnection,
    ToldErrors,
    body_of,
    connected,
    lost,
    said_by,
)
from edgecam.supervisor import Backoff

log = structlog.get_logger(__name__)

PASSWORD_RETRY = (60.0, 120.0)  # seconds between two attempts with a password that was wrong
FRESH = 5.0  # seconds after `user_joined` in which the end of the connection means that the token was not liked
_TOKEN_TROUBLE = re.compile(
    r"\b401\b|unauthori[sz]ed|not authenticated|jwt|token\b.*\b(expired|invalid)|(expired|invalid)\b.*\btoken|token (is )?required",
    re.IGNORECASE,
)


class CallCamera:
    """One camera's account on one server. `run` is for `supervise`: it raises and never retries."""

    def __init__(
        self,
        name: str,
        settings: SocketioCallSignaling,
        camera: str,
        title: str,
        sessions: WatchedSessions,
        component: Component,
    ) -> None:
        email = settings.email.replace("{camera}", camera)
        self.me = Subscriber(f"signaling.{name}", camera, title, email, settings.callers, sessions)
        self._settings = settings
        self._component = component
        self._line = Line()
        self._told = ToldErrors()
        self._address = ServerAddress(name, settings.url, settings.path)
        self._account = (
            Account(name, str(URL(settings.url).join(URL(settings.login_path))), email, settings.password)
            if settings.login_path
            else None
        )
        self._live: Conversation | None = None
        self._password_retry_at = 0.0

    def addresses_gone(self, addresses: Collection[str]) -> None:
        """The machine has lost these addresses."""
        if self._live is not None:
            self._live.connection.addresses_gone(addresses)

    async def run(self) -> None:
        """Log in, connect, be there for calls until the connection breaks. Raises SignalingError, perhaps grouped."""
        token = await self._token()
        async with connected(self._address) as connection:
            try:
                async with asyncio.TaskGroup() as group:
                    await self._converse(connection, group, token)
            except asyncio.CancelledError:  # of the daemon; what breaks a connection ends in a group of errors
                await hang_up_all(connection, self.me.calls, "the camera is shutting down")
                raise
    async def _converse(self, connection: SocketioConnection, group: asyncio.TaskGroup, token: str) -> None:
        live = Conversation(self.me, connection, group, self._line)
        self._live, joined = live, time.monotonic()
        try:
            await self._join(connection, token)
            self._component.running(f"{self.me.camera} can be called at {self._address.shown} as {self.me.email}")
            live.watch_all()
            async for event, arguments in connection.events():
                await self._take(live, event, arguments)
            if self._account is not None and time.monotonic() - joined < FRESH:
                self._account.forget()
            raise lost(self._address)
        finally:
            self._live = None
            live.exchange.close()

    async def _join(self, connection: SocketioConnection, token: str) -> None:
        await connection.emit("user_joined", {"email": self.me.email, **({"token": token} if token else {})})

    async def _token(self) -> str:
        """A token; waits long between attempts with a password that was wrong, so that the account is not locked."""
        if self._account is None:
            return ""
        await asyncio.sleep(max(0.0, self._password_retry_at - time.monotonic()))
        try:
            return await self._account.token()
        except WrongPasswordError:
            self._password_retry_at = time.monotonic() + random.uniform(*PASSWORD_RETRY)
            raise

    async def _take(self, live: Conversation, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "error":
            await self._take_error(live, said_by(arguments))
            return
        try:
            live.take(event, body_of(arguments), arguments)
        except fields.WireError as error:
            log.debug("message.malformed", via=self.me.via, camera=self.me.camera, message=event[:40], reason=str(error))

    async def _take_error(self, live: Conversation, said: str) -> None:
        if self._account is not None and _TOKEN_TROUBLE.search(said):
            self._account.forget()
            if live.renewed:  # the new token is not liked either
                raise SignalingError(
                    f"{self._address.shown} does not accept the camera's token: {said}",
                    remedy="it logs in anew by itself",
                    code="signaling-auth",
                )
            live.renewed = True
            await self._join(live.connection, await self._token())
            return
        if self._told.is_news(said):
            log.warning(
                "server.error",
                via=self.me.via,
                camera=self.me.camera,
                message=said,
                hint="calls go on; if the camera cannot be called, compare the server's messages with docs/signaling-socketio-call.md",
            )

    async def call(self, to: str, conversation: Any = None) -> Call:
        """Call a person: invitation, then an offer. Returns at once; the call says what becomes of it. Raises EdgecamError."""
        live, person = self._live, to.strip().lower()
        if live is None:
            raise SignalingError(
                f"{self.me.camera} is not connected to {self._address.shown}", remedy="see `edgecam status`", code="signaling-lost"
            )
        before = self.me.calls.of(person)
        if before is not None and (before.ringing or self.me.sessions.alive(self.me.key(person))):
            raise ViewerRefusedError(f"there is a call with {to} already", remedy="end it first", code="call-busy")
        belongs = conversation or self.me.calls.conversation_with(person) or uuid4().hex
        call = Call(person, to.strip(), belongs, outgoing=True, state=CallState.RINGING)
        self.me.calls.begin(call)
        await live.invite(call)
        live.exchange.receive(person, exchange.Call(self._settings.ring))
        log.info("call.ringing", via=self.me.via, camera=self.me.camera, to=call.address)
        return call

    def named(self, identity: str) -> Call | None:
        """A call that the camera made."""
        return self.me.calls.named(identity)

    async def hang_up(self, call: Call) -> None:
        """End a call that the camera made."""
        if self.me.calls.end(call, "the camera hung up") and self._live is not None:
            self._live.exchange.receive(call.person, HungUp())
            await say_end(self._live.connection, call)


class CallExchange(PerCamera):
    """A `[signaling.NAME]` section at work: each of its cameras has an account of its own."""

    def __init__(
        self,
        name: str,
        settings: SocketioCallSignaling,
        cameras: Mapping[str, str],
        sessions: WatchedSessions,
        board: HealthBoard,
        backoff: Backoff = BACKOFF,
    ) -> None:
        if len(cameras) > 1 and "{camera}" not in settings.email:
            raise ConfigError(
                f"[signaling.{name}] has one account for {len(cameras)} cameras",
                remedy="name one camera in `cameras`, or put {camera} into `email`",
            )

        def build(camera: str, component: Component) -> CallCamera:
            return CallCamera(name, settings, camera, cameras[camera], sessions, component)

        super().__init__(name, cameras, board, backoff, build)

    @property
    def callers(self) -> Mapping[str, Caller]:
        return {camera: each for camera, each in self.connections.items() if isinstance(each, CallCamera)}
