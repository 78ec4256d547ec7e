"""How each dialect of signaling is tried: as far as can be seen without calling anybody, and without leaving anything behind."""

from __future__ import annotations

import asyncio
import secrets
from typing import Protocol

import aiohttp
from yarl import URL

from edgecam.errors import SignalingError
from edgecam.settings import IceServer
from edgecam.settings.signaling import (
    MediasoupSignaling,
    RoomsSignaling,
    Signaling,
    SocketioCallSignaling,
    SocketioRoomSignaling,
    WebsocketSignaling,
    WhipSignaling,
)
from edgecam.signaling import wire
from edgecam.signaling.reasons import refused, unreachable
from edgecam.signaling.rooms_http import RoomServer

CONNECT_TIMEOUT = 6.0  # seconds
REPLY_TIMEOUT = 4.0  # seconds for the answer to `register`, or for a welcome that older servers do not send
WELCOME_TIMEOUT = 1.0


class Trial(Protocol):
    """One server tried. `ice_servers`: what it hands out, known after `make`."""

    ice_servers: list[IceServer]

    async def make(self, http: aiohttp.ClientSession) -> str:
        """What was found, for people, e.g. `takes camera front`; the name has been resolved before. Raises SignalingError, caused
        by what aiohttp raised, or with a code of its own."""


def trial(section: str, settings: Signaling, camera: str) -> Trial:
    """`camera` is empty where a running daemon has it registered: then nothing is done that would disturb that."""
    match settings:
        case WebsocketSignaling():
            return WebsocketTrial(section, settings, camera)
        case RoomsSignaling():
            return RoomsTrial(section, settings, camera)
        case WhipSignaling():
            return WhipTrial(section, settings, camera)
        case SocketioCallSignaling() | SocketioRoomSignaling() | MediasoupSignaling():
            return SocketioTrial(section, settings.url, settings.path)


class WebsocketTrial:
    """Connect, be welcomed, register."""

    def __init__(self, section: str, settings: WebsocketSignaling, camera: str) -> None:
        self.ice_servers: list[IceServer] = []
        self._section = section
        self._settings = settings
        self._camera = camera

    async def make(self, http: aiohttp.ClientSession) -> str:
        token, url = self._settings.token.get_secret_value(), self._settings.url
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                ws = await http.ws_connect(url, headers=headers, max_msg_size=wire.MAX_MESSAGE_BYTES + 1)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise unreachable(error, url, self._section) from error
        try:
            async with ws:
                await self._talk(ws)
        except (aiohttp.ClientError, ConnectionError) as error:
            raise unreachable(error, url, self._section) from error
        return f"takes camera {self._camera}" if self._camera else ""

    async def _talk(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        if self._camera:
            token = self._settings.token.get_secret_value()
            register = wire.Register("sender", self._camera, instance_id=secrets.token_urlsafe(24), token=token)
            await ws.send_str(wire.encode(register))
        try:
            async with asyncio.timeout(REPLY_TIMEOUT if self._camera else WELCOME_TIMEOUT):
                await self._until_settled(ws)
        except TimeoutError:
            if self._camera:
                raise refused("it does not answer register", self._settings.url, self._section) from None

    async def _until_settled(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        async for text in ws:
            if text.type is not aiohttp.WSMsgType.TEXT:
                continue
            try:
                message = wire.decode(text.data)
            except wire.WireError:
                continue
            match message:
                case wire.Welcome(servers):
                    self.ice_servers = list(servers)
                    if not self._camera:
                        return
                case wire.Registered(_, servers):
                    # The same servers once more, perhaps with a user name of this camera's own.
                    self.ice_servers = list(servers) or self.ice_servers
                    return
                case wire.Error(said, code):
                    of_token = code == "token-wrong"
                    raise refused(
                        said, self._settings.url, self._section, code="signaling-auth" if of_token else "signaling-refused"
                    )
        raise refused("it closed the connection", self._settings.url, self._section)


class RoomsTrial:
    """Log in where that is asked for, and see whether the room is there; none is made."""

    def __init__(self, section: str, settings: RoomsSignaling, camera: str) -> None:
        self.ice_servers: list[IceServer] = []
        self._settings = settings
        self._section = section
        self._camera = camera
        self._server = RoomServer(section, settings, camera)

    async def make(self, http: aiohttp.ClientSession) -> str:
        if not self._camera:
            await _answer(http, "GET", self._settings.url, self._section)
            return ""
        if self._settings.login_path:
            await self._server.log_in(http)
        there = await self._server.exists(http)
        if there is None:
            await _answer(http, "GET", self._settings.url, self._section)
            return f"lets camera {self._camera} in" if self._settings.login_path else ""
        room = self._server.room
        return f"has room {room}" if there else f"has no room {room}; the camera makes one, or waits for it"


class WhipTrial:
    """Ask the endpoint what it can do (RFC 9725 section 4.2), with the token: nothing is published."""

    def __init__(self, section: str, settings: WhipSignaling, camera: str) -> None:
        self.ice_servers: list[IceServer] = []
        self._section = section
        self._settings = settings
        self._url = settings.url.replace("{camera}", camera)

    async def make(self, http: aiohttp.ClientSession) -> str:
        token = self._settings.token.get_secret_value()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        status = await _answer(http, "OPTIONS", self._url, self._section, headers)
        if status in {401, 403}:
            reason = f"HTTP {status}: it wants a token, or another one"
            raise refused(reason, self._url, self._section, code="signaling-auth")
        return ""


class SocketioTrial:
    """Open an Engine.IO session (version 4) and leave it: nobody is told."""

    def __init__(self, section: str, url: str, path: str) -> None:
        self.ice_servers: list[IceServer] = []
        self._section = section
        self._url = str(URL(url).join(URL(f"{path.rstrip('/')}/")).with_query(EIO="4", transport="polling"))

    async def make(self, http: aiohttp.ClientSession) -> str:
        status = await _answer(http, "GET", self._url, self._section)
        if status in {401, 403}:
            raise refused(f"HTTP {status}", self._url, self._section, "url", code="signaling-auth")
        if status not in {200, 400}:  # 400: it takes no polling, only WebSockets
            raise refused(f"HTTP {status} where Socket.IO should be", self._url, self._section, "path")
        return "speaks Socket.IO" if status == 200 else ""


async def _answer(
    http: aiohttp.ClientSession, method: str, url: str, section: str, headers: dict[str, str] | None = None
) -> int:
    """The status of one request. Raises SignalingError when there is no answer, or one that tells of a broken server."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            async with http.request(method, url, headers=headers, allow_redirects=False) as response:
                status = response.status
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise unreachable(error, url, section) from error
    if status >= 500:
        raise SignalingError(
            f"the signaling server answers HTTP {status}", remedy="look at the server's own log", code="signaling-refused"
        )
    return status
