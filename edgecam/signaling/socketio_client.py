"""A Socket.IO connection (protocol 5 on Engine.IO 4) as dialects need it: a reason when there is none, events in order,
a dead server noticed in seconds. Reconnecting is the supervisor's, not the library's."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import socketio
import structlog
from yarl import URL

from edgecam.errors import SignalingError
from edgecam.signaling.fields import MAX_MESSAGE_BYTES
from edgecam.signaling.reasons import endpoint, unreachable

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT = 10.0  # seconds for DNS, TCP, TLS, the handshakes of Engine.IO and Socket.IO together, per transport
CLOSE_TIMEOUT = 0.8  # seconds that saying goodbye may take
# In Engine.IO 4 only the server pings, every 25 s or slower. The WebSocket below has pings of its own, which any server answers.
HEARTBEAT = 10.0  # seconds between those; a silent server is left after half of it more
MAX_WAITING = 1024  # events that have come and are not worked off; what comes on top is dropped
MAX_TOLD = 50  # different errors of a server that are logged

# A WebSocket at once where that works, else as browsers begin: over HTTP, and then upgraded if the server offers it.
TRANSPORTS = (["websocket"], ["polling", "websocket"])

_quiet = logging.getLogger("edgecam.socketio")  # the library logs errors that we report ourselves
_quiet.setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a Socket.IO server of `[signaling.SECTION]` is. `query` is added to the URL of the connection."""

    section: str
    url: str
    path: str = "/socket.io"
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The address for people."""
        return endpoint(self.url)

    @property
    def full(self) -> str:
        return str(URL(self.url).update_query(dict(self.query)))


@dataclass(slots=True)
class _Trace:
    """What the library does not tell about a connection that did not come about."""

    error: Exception | None = None
    status: int = 0

    def config(self) -> aiohttp.TraceConfig:
        config = aiohttp.TraceConfig()
        config.on_request_exception.append(self._failed)
        config.on_request_end.append(self._ended)
        return config

    async def _failed(self, _session: object, _context: object, end: aiohttp.TraceRequestExceptionParams) -> None:
        if isinstance(end.exception, Exception):
            self.error = end.exception

    async def _ended(self, _session: object, _context: object, end: aiohttp.TraceRequestEndParams) -> None:
        self.status = end.response.status


class SocketioConnection:
    """An open connection. `sid` is the socket's id, by which others address us."""

    def __init__(self, client: socketio.AsyncClient, address: ServerAddress) -> None:
        self.address = address
        self._client = client
        self._settled = asyncio.Event()
        self._refusal: str | None = None
        self._events: asyncio.Queue[tuple[str, tuple[Any, ...]] | None] = asyncio.Queue(MAX_WAITING + 1)
        self._ended = False
        client.on("connect", self._on_connect)
        client.on("connect_error", self._on_refused)
        client.on("disconnect", self._on_disconnect)
        client.on("*", self._on_event)

    @property
    def sid(self) -> str:
        return str(self._client.get_sid() or "")

    async def joined(self) -> None:
        """Wait until the server has taken us in. Raises SignalingError with what it says if it does not."""
        await self._settled.wait()
        if self._refusal is not None:
            raise _not_joined(self.address, self._refusal)

    async def events(self) -> AsyncIterator[tuple[str, tuple[Any, ...]]]:
        """Events and their arguments, in order, until the connection ends."""
        while (event := await self._events.get()) is not None:
            yield event

    async def emit(self, event: str, body: Mapping[str, object]) -> None:
        """Send an event. Raises SignalingError when the connection is gone."""
        try:
            await self._client.emit(event, dict(body))
        except socketio.exceptions.SocketIOError as error:
            raise lost(self.address) from error

    async def ask(self, event: str, *arguments: object) -> asyncio.Future[tuple[Any, ...]]:
        """Send an event; the arguments of its acknowledgement, if one ever comes. Raises SignalingError when the connection is gone."""
        reply: asyncio.Future[tuple[Any, ...]] = asyncio.get_running_loop().create_future()

        def acknowledged(*said: Any) -> None:
            if not reply.done():
                reply.set_result(said)

        try:
            await self._client.emit(event, arguments or None, callback=acknowledged)
        except socketio.exceptions.SocketIOError as error:
            raise lost(self.address) from error
        return reply

    async def flush(self) -> None:
        """Wait until what has been sent is on its way, or a moment."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._client.eio.queue.join()

    def addresses_gone(self, addresses: Collection[str]) -> None:
        """The machine has lost these addresses: a connection from one of them is dead, which TCP would find out much later."""
        ws: Any = getattr(self._client.eio, "ws", None)
        name = ws.get_extra_info("sockname") if ws is not None else None
        if ws is not None and name and str(name[0]).partition("%")[0] in addresses:
            with suppress(OSError):
                ws.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    # called by the library; plain functions, because coroutines could overtake each other

    def _on_connect(self) -> None:
        self._settled.set()

    def _on_refused(self, *said: Any) -> None:
        if not self._settled.is_set():
            self._refusal = said_by(said)
            self._settled.set()

    def _on_disconnect(self, *_reason: Any) -> None:
        self._on_refused("it closed the connection")
        if not self._ended:
            self._ended = True
            if self._events.full():
                self._events.get_nowait()
            self._events.put_nowait(None)

    def _on_event(self, event: str, *arguments: Any) -> None:
        if self._ended or self._events.qsize() >= MAX_WAITING:
            log.debug("message.dropped", via=f"signaling.{self.address.section}", message=event[:40])
        else:
            self._events.put_nowait((event, arguments))


@asynccontextmanager
async def connected(address: ServerAddress) -> AsyncIterator[SocketioConnection]:
    """A connection whose namespace is joined. Raises SignalingError; code signaling-auth when it was refused for who we are."""
    trace = _Trace()
    async with aiohttp.ClientSession(trace_configs=[trace.config()]) as http:
        connection, client = await _open(address, http, trace)
        try:
            yield connection
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await client.disconnect()
            loops = {task for task in (client.eio.read_loop_task, client.eio.write_loop_task) if task is not None}
            for task in loops:  # over HTTP they may wait for an answer until the session is closed, and then open another one
                task.cancel()
            if loops:
                await asyncio.wait(loops, timeout=CLOSE_TIMEOUT)


async def _open(
    address: ServerAddress, http: aiohttp.ClientSession, trace: _Trace
) -> tuple[SocketioConnection, socketio.AsyncClient]:
    for transports in TRANSPORTS:
        trace.error, trace.status = None, 0
        client = _client(http)
        connection = SocketioConnection(client, address)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await client.connect(address.full, transports=transports, socketio_path=address.path.strip("/"), wait=False)
                await connection.joined()
        except (socketio.exceptions.SocketIOError, aiohttp.ClientError, OSError, ValueError, LookupError) as error:
            if not trace.status or transports is TRANSPORTS[-1]:  # nobody is there, or nothing that we could do otherwise
                raise _unreachable(address, trace, error) from error
        else:
            return connection, client
    raise AssertionError("unreachable")


def _client(http: aiohttp.ClientSession) -> socketio.AsyncClient:
    options: dict[str, Any] = {"heartbeat": HEARTBEAT, "max_msg_size": MAX_MESSAGE_BYTES + 1}
    options["timeout"] = aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT)
    return socketio.AsyncClient(
        reconnection=False,
        handle_sigint=False,
        http_session=http,
        websocket_extra_options=options,
        logger=_quiet,
        engineio_logger=_quiet,
    )


def _unreachable(address: ServerAddress, trace: _Trace, error: Exception) -> SignalingError:
    if trace.error is not None or isinstance(error, TimeoutError):
        return unreachable(trace.error or error, address.url, address.section)
    if trace.status in {401, 403}:
        return _not_joined(address, f"HTTP {trace.status}")
    return SignalingError(
        f"{address.shown} does not speak Socket.IO (HTTP {trace.status}: {error})",
        remedy=f"correct [signaling.{address.section}] url, or path",
        code="signaling-refused",
    )


def _not_joined(address: ServerAddress, reason: str) -> SignalingError:
    return SignalingError(
        f"the signaling server {address.shown} refused this camera: {reason}",
        remedy=f"check [signaling.{address.section}] and the server's own settings",
        code="signaling-refused",
    )


def lost(address: ServerAddress) -> SignalingError:
    """The SignalingError for a connection that has ended."""
    return SignalingError(
        f"the connection to the signaling server {address.shown} ended",
        remedy="it is reconnected by itself; viewers keep their picture",
        code="signaling-lost",
    )


def said_by(arguments: tuple[Any, ...]) -> str:
    """What a server says in an `error` event or when it refuses a connection: one bounded line for people."""
    said = arguments[0] if arguments else ""
    if isinstance(said, Mapping):
        said = said.get("message") or said.get("error") or said.get("detail") or said
    return " ".join(str(said).split())[:300]


def body_of(arguments: tuple[Any, ...]) -> dict[str, Any]:
    """The object that an event carries; servers may add further arguments."""
    return next((argument for argument in arguments if isinstance(argument, dict)), {})


class ToldErrors:
    """Which errors a server has sent before: each text is logged once in the daemon's life, and not too many of them."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def is_news(self, message: str) -> bool:
        if message in self._told or len(self._told) >= MAX_TOLD:
            return False
        self._told.add(message)
        return True
