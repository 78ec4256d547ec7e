"""The HTTP side of the `rooms` dialect: log in, join a room, or have one made; then the WebSocket into it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import structlog

from edgecam.errors import SignalingError
from edgecam.http.tokens import read_private, write_private
from edgecam.settings.signaling import RoomsSignaling
from edgecam.signaling import connection
from edgecam.signaling.connection import Connection
from edgecam.signaling.fields import MAX_SECRET_CHARS
from edgecam.signaling.reasons import endpoint, refused, unreachable

log = structlog.get_logger(__name__)

MAX_REPLY_BYTES = 64 * 1024
RENEWED_BEFORE = 10.0  # seconds before a token expires
MAX_TOKEN_CHARS = 8 * MAX_SECRET_CHARS
_GONE = {404, 410}
_UNAUTHORIZED = {401, 403}
_OTHER_SHAPE = {400, 415, 422}  # what servers say to a login that is written in a way they do not know
# By these a server ends a connection whose token has expired (RFC 6455 section 7.4, and what is customary).
TOKEN_CLOSES = {1008, 3000, 4001, 4003, 4401, 4403}


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server answered; `body` is None when it is no JSON."""

    status: int
    body: Any


class RoomServer:
    """One camera's way into its room. The token and the room are kept from one connection to the next, the room that the
    server made for us also in `file`: who was given its id finds the camera there after a restart too."""

    def __init__(self, section: str, settings: RoomsSignaling, camera: str, file: Path | None = None) -> None:
        self.room = settings.room.format(camera=camera)
        self.made = ""  # the room that the server made for us
        self.date = ""  # the server's Date header, for the doctor
        self._file = file
        self._section = section
        self._settings = settings
        self._camera = camera
        self._base = settings.url.rstrip("/")
        self._token = settings.token.get_secret_value()
        self._expires = float("inf")  # CLOCK_MONOTONIC
        self._cookies: aiohttp.CookieJar | None = None
        self._logged_in = False
        self.token_ended = False  # the server has closed the connection because it was no good any more
        self._methods: dict[str, str] = {}
        self._socket_path = ""  # the one that worked last
        self.user = settings.user.format(camera=camera)

    @asynccontextmanager
    async def http(self) -> AsyncIterator[aiohttp.ClientSession]:
        """A client with the cookies of the login, for servers that hand out those instead of tokens."""
        if self._cookies is None:
            self._cookies = aiohttp.CookieJar(unsafe=True)  # also of servers that have only an address
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(cookie_jar=self._cookies, timeout=timeout) as session:
            yield session

    async def enter(self, http: aiohttp.ClientSession) -> str | None:
        """The room to connect to, joined or made anew. None: it does not exist, and none is to be made. Raises SignalingError."""
        ended, self.token_ended = self.token_ended, False
        if self._settings.login_path and (ended or not self._logged_in or time.monotonic() > self._expires):
            await self.log_in(http)
        if not self.made:
            self.made = self._remembered()
        for room in dict.fromkeys(filter(None, (self.room, self.made))):
            if await self._join(http, room):
                return room
        if not self._settings.create_path:
            return None
        self.made = await self._create(http)
        self._remember(self.made)
        if self.room and self.made != self.room:
            log.warning("room.other", wanted=self.room, got=self.made, camera=self._camera)
        return self.made

    def _remembered(self) -> str:
        """The room of a daemon before this one, empty if there was none on this server."""
        try:
            url, _, room = ((read_private(self._file) if self._file is not None else None) or "").partition(" ")
        except OSError as error:
            log.debug("room.forgotten", camera=self._camera, reason=str(error))
            return ""
        return room if url == self._base else ""

    def _remember(self, room: str) -> None:
        if self._file is None:
            return
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self._file, f"{self._base} {room}")
        except OSError as error:
            log.warning("room.not-kept", camera=self._camera, reason=str(error), hint="after a restart another room is made")

    async def exists(self, http: aiohttp.ClientSession) -> bool | None:
        """Whether the room of the settings is there; None when they name none, or it cannot be asked for. Raises SignalingError."""
        return await self._join(http, self.room) if self.room and self._settings.join_path else None

    async def _join(self, http: aiohttp.ClientSession, room: str) -> bool:
        """Whether that room exists."""
        if not self._settings.join_path:
            return True
        reply = await self._ask(http, self._settings.join_path, room)
        if reply.status in _GONE:
            return False
        self._require(reply, f"joining the room {room!r}")
        return not (isinstance(reply.body, dict) and reply.body.get("error"))  # some say so with status 200

    async def _create(self, http: aiohttp.ClientSession) -> str:
        reply = await self._ask(http, self._settings.create_path, self.room)
        self._require(reply, "making a room")
        made = _room_id(reply.body)
        if not made:
            raise self._refused("it made a room without saying its id (room_id)", "create_path")
        log.info("room.made", room=made, camera=self._camera, server=endpoint(self._base))
        return made

    def _require(self, reply: Reply, what: str) -> None:
        if reply.status in _UNAUTHORIZED:
            raise self._unauthorized(f"HTTP {reply.status} when {what}: it wants a token, or another one")
        if reply.status >= 300:
            raise self._refused(f"HTTP {reply.status} when {what}", "create_path and join_path")

    def _refused(self, reason: str, setting: str) -> SignalingError:
        return refused(reason, self._base, self._section, setting)

    def _unauthorized(self, reason: str) -> SignalingError:
        self.forget_token()
        setting = "login and password" if self._settings.login_path else "token"
        return refused(reason, self._base, self._section, setting, code="signaling-auth")

    # tokens

    def forget_token(self) -> None:
        """The server does not like the token any more: log in before the next connection."""
        self._logged_in = False

    async def log_in(self, http: aiohttp.ClientSession) -> None:
        """Get a token. Raises SignalingError, with code signaling-auth when the password is wrong."""
        reply = await self._post_login(http)
        if reply.status in _UNAUTHORIZED | _OTHER_SHAPE:
            raise self._unauthorized(f"HTTP {reply.status} at the login of {self._settings.login!r}: wrong user name or password")
        if reply.status >= 300:
            raise self._refused(f"HTTP {reply.status} at the login", "login_path")
        body = reply.body if isinstance(reply.body, dict) else {}
        token = next((body[key] for key in ("access_token", "token", "jwt", "accessToken") if key in body), "")
        if isinstance(token, str) and 0 < len(token) <= MAX_TOKEN_CHARS and token.isascii() and token.isprintable():
            self._token = token
        elif self._cookies is not None and not len(self._cookies):
            raise self._refused("its login gives neither an access_token nor a cookie", "login_path")
        self._logged_in = True
        lifetime = _lifetime(body, self._token)
        self._expires = time.monotonic() + max(1.0, lifetime - RENEWED_BEFORE) if lifetime else float("inf")

    async def _post_login(self, http: aiohttp.ClientSession) -> Reply:
        """Servers differ in how they want it written; those that know another way say 422 or the like, and not 401."""
        name, password = self._settings.login, self._settings.password.get_secret_value()
        keys = ("email", "username") if "@" in name else ("username", "email")
        ways: list[dict[str, Any]] = [{"json": {key: name, "password": password}} for key in keys]
        ways.append({"data": {"username": name, "password": password}})
        for way in ways:
            # A redirect would take the password somewhere else.
            reply = await self._request(http, "POST", self._base + self._settings.login_path, allow_redirects=False, **way)
            if reply.status not in _OTHER_SHAPE:
                break
        return reply

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    # requests

    async def _ask(self, http: aiohttp.ClientSession, path: str, room: str) -> Reply:
        """One request, by the method that this path takes; once more with a new token when the old one has expired."""
        url = self._base + self._filled(path, room)
        reply = await self._by_its_method(http, path, url)
        if reply.status in _UNAUTHORIZED and self._settings.login_path:
            await self.log_in(http)
            reply = await self._by_its_method(http, path, url)
        return reply

    async def _by_its_method(self, http: aiohttp.ClientSession, path: str, url: str) -> Reply:
        configured = self._settings.method.upper()
        method = self._methods.get(path, "POST") if configured == "AUTO" else configured
        reply = await self._request(http, method, url, headers=self.headers)
        if reply.status == 405 and configured == "AUTO":
            method = "GET" if method == "POST" else "POST"
            reply = await self._request(http, method, url, headers=self.headers)
            if reply.status != 405:
                self._methods[path] = method
        return reply

    async def _request(self, http: aiohttp.ClientSession, method: str, url: str, **what: Any) -> Reply:
        try:
            async with asyncio.timeout(connection.CONNECT_TIMEOUT):
                async with http.request(method, url, **what) as response:
                    self.date = response.headers.get("Date", self.date)
                    text = bytearray()
                    async for chunk in response.content.iter_any():
                        text += chunk
                        if len(text) > MAX_REPLY_BYTES:
                            break
                    return Reply(response.status, _json(bytes(text)))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise unreachable(error, url, self._section) from error

    def _filled(self, path: str, room: str, *, user: str = "") -> str:
        given = {"room": room, "camera": self._camera, "user": user or self.user, "token": self._token}
        return path.format(**{name: quote(value, safe="") for name, value in given.items()})

    # the socket

    @asynccontextmanager
    async def connected(self, http: aiohttp.ClientSession, room: str) -> AsyncIterator[Connection]:
        """The WebSocket into a room, by the first path that the server knows. Raises SignalingError."""
        paths = self._socket_paths()
        for path in paths:
            try:
                async with self._opened(http, path, room) as opened:
                    self._socket_path = path
                    yield opened
                    return
            except SignalingError as error:
                cause = error.__cause__
                if not isinstance(cause, aiohttp.WSServerHandshakeError):
                    raise
                if cause.status in _UNAUTHORIZED:
                    self.forget_token()
                if path == paths[-1] or cause.status not in {403, 404}:
                    raise

    def _socket_paths(self) -> Sequence[str]:
        """FastAPI turns paths that it does not know away with 403."""
        if self._settings.socket_path:
            return (self._settings.socket_path,)
        with_user, without = "/ws/{room}/{user}", "/ws/{room}"
        usual = (with_user, without) if self.user else (without, with_user)
        return tuple(dict.fromkeys(filter(None, (self._socket_path, *usual))))

    @asynccontextmanager
    async def _opened(self, http: aiohttp.ClientSession, path: str, room: str) -> AsyncIterator[Connection]:
        url = "ws" + self._base.removeprefix("http") + self._filled(path, room, user=self.user or self._camera)
        async with connection.connected(http, url, self._section, self.headers, self._settings.heartbeat) as opened:
            if "{user}" in path:
                self.user = self.user or self._camera
            yield opened


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _room_id(body: Any) -> str:
    """The id out of `{room_id}`, or out of what else servers answer."""
    for _ in range(2):  # {room_id}, or {room: {id}}
        if isinstance(body, dict):
            body = next((body[key] for key in ("room_id", "roomId", "room", "id") if body.get(key)), None)
    if isinstance(body, int) and not isinstance(body, bool):
        body = str(body)
    return body if isinstance(body, str) and 0 < len(body) <= 256 and body.isprintable() else ""


def _lifetime(body: Mapping[str, Any], token: str) -> float | None:
    """Seconds for which a token is good: `expires_in` (RFC 6749), else what a JWT says of itself; None when neither is there."""
    seconds = body.get("expires_in")
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds > 0:
        return float(seconds)
    try:
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        began = claims.get("iat", time.time())  # its own beginning: this machine's clock may be wrong
        return max(0.0, float(claims["exp"]) - float(began)) or None
    except (IndexError, ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        return None
