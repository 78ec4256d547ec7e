"""A WebSocket (RFC 6455) on a connection that aiohttp has accepted: no task, no queue and no timer for each of thousands.

aiohttp's own costs a task that reads, one that writes for us, two wake-ups per message and 40 % of the processor in a storm of
joins. What is sent within one round of the event loop goes out in one write.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Protocol

from aiohttp import hdrs, web

from edgecam.server.frames import Assembler, FrameError, Opcode, frame

CLOSE_TIMEOUT = 1.0  # seconds that a closing handshake may take
PING_EVERY = 10.0  # seconds
PLACES = 100  # of the wheel
PATIENCE = 50  # places, which are 5 seconds: a dead peer is gone within 15
STRIDE = 37  # has no divisor in common with PLACES
MOVES = 4096  # bytes of an unfinished frame that show that somebody is there
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # section 1.3
_PING = frame(Opcode.PING, b"")


class Listener(Protocol):
    """Who has a WebSocket."""

    def message(self, data: str | bytes) -> None:
        """A whole text or binary message."""

    def gone(self) -> None:
        """The connection has ended; called once, and nothing after it."""


class Divertible(Protocol):
    """A connection that can be given to another protocol, while whoever accepted it still hears of its end."""

    def divert(self, protocol: asyncio.Protocol) -> None: ...


async def accept(request: web.Request, websocket: WebSocket) -> web.StreamResponse:
    """Answer 101, and give `websocket` what comes from now on. Raises HTTPException for a request that asks for something else."""
    key = request.headers.get(hdrs.SEC_WEBSOCKET_KEY, "")
    upgrade = request.headers.get(hdrs.UPGRADE, "").lower().strip()
    connection = [word.strip() for word in request.headers.get(hdrs.CONNECTION, "").lower().split(",")]
    if upgrade != "websocket" or "upgrade" not in connection:
        raise web.HTTPBadRequest(text="a WebSocket is opened with Upgrade: websocket\n")
    if request.headers.get(hdrs.SEC_WEBSOCKET_VERSION) != "13":
        raise web.HTTPUpgradeRequired(text="WebSocket version 13 is spoken here\n", headers={hdrs.SEC_WEBSOCKET_VERSION: "13"})
    if not _is_key(key):
        raise web.HTTPBadRequest(text="Sec-WebSocket-Key must be 16 bytes in base64\n")
    token = base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()
    headers = {hdrs.UPGRADE: "websocket", hdrs.CONNECTION: "Upgrade", hdrs.SEC_WEBSOCKET_ACCEPT: token}
    response = web.StreamResponse(status=101, headers=headers)
    response.force_close()
    transport = request.transport
    if transport is None:
        raise ConnectionResetError
    await response.prepare(request)
    divertible: Divertible = transport.get_protocol()  # type: ignore[assignment]  # what `admission` makes
    websocket.connection_made(transport)
    divertible.divert(websocket)
    return response


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise FrameError(1007, "a text message must be UTF-8") from None


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == 16
    except ValueError:
        return False


class WebSocket(asyncio.Protocol):
    """One connection. `limit`: bytes that a message may have; `unsent`: bytes that may wait for a peer that does not read."""

    __slots__ = (
        "_assembler", "_awaiting", "_heartbeats", "_held", "_listener", "_moved", "_out", "_transport", "_unsent",
        "closing", "said_goodbye",
    )  # fmt: skip

    def __init__(self, heartbeats: Heartbeats, listener: Listener, *, limit: int, unsent: int) -> None:
        self._heartbeats = heartbeats
        self._listener: Listener | None = listener
        self._assembler = Assembler(limit)
        self._unsent = unsent
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._held = False
        self._awaiting = False  # a pong
        self._moved = 0  # bytes received since the last ping
        self.closing = False  # by us
        self.said_goodbye = False  # the peer

    def send(self, text: str) -> bool:
        """Send a text message; False when too much waits already, and the connection is cut off."""
        if self.closing or self._transport is None:
            return True
        self._write(frame(Opcode.TEXT, text.encode()))
        if self._transport.get_write_buffer_size() <= self._unsent:
            return True
        self.cut()
        return False

    def close(self, code: int, reason: str) -> None:
        """Close after what was sent, politely for CLOSE_TIMEOUT seconds."""
        if not self.closing:
            self._write(frame(Opcode.CLOSE, code.to_bytes(2, "big") + reason.encode()[:120]))
            self.closing = True
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self.cut)

    def cut(self) -> None:
        """End it at once."""
        self.closing = True
        if self._transport is not None:
            self._transport.abort()

    def hold(self, seconds: float) -> None:
        """Read nothing for so long."""
        if not self._held and self._transport is not None:
            self._held = True
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(seconds, self._release)

    def beat(self) -> None:
        """Ask whether anybody is there."""
        self._awaiting, self._moved = True, 0
        self._write(_PING)

    def check(self) -> None:
        """Cut off what has not answered; who is read slowly by us cannot."""
        if self._awaiting and not self._held and self._moved < MOVES and self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._heartbeats.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._heartbeats.discard(self)
        self._transport = None
        self._out.clear()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.gone()

    def data_received(self, data: bytes) -> None:
        self._moved += len(data)
        if self.said_goodbye:
            return
        try:
            for opcode, payload in self._assembler.feed(data):
                self._awaiting = False
                self._take(opcode, payload)
                if self._held or self.said_goodbye:
                    break
        except FrameError as error:
            self.close(error.code, error.reason)
            self.said_goodbye = True  # what follows cannot be read

    # inside

    def _take(self, opcode: Opcode, payload: bytes) -> None:
        if opcode is Opcode.PING:
            self._write(frame(Opcode.PONG, payload))
        elif opcode is Opcode.CLOSE:
            self._goodbye(payload)
        elif opcode is not Opcode.PONG and self._listener is not None and not self.closing:
            self._listener.message(payload if opcode is Opcode.BINARY else _text(payload))

    def _goodbye(self, payload: bytes) -> None:
        self.said_goodbye = True
        if not self.closing:
            self._write(frame(Opcode.CLOSE, payload[:2]))
            self.closing = True
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self.cut)
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def _write(self, data: bytes) -> None:
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(data)

    def _flush(self) -> None:
        if self._out and self._transport is not None:
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def _release(self) -> None:
        if self._held and self._transport is not None:
            self._held = False
            self._transport.resume_reading()
            self.data_received(b"")


class Heartbeats:
    """One timer for the heartbeats of all: a wheel of PLACES, turned once in PING_EVERY seconds. Each place has its share of the clients,
    so that thousands of them are never asked all at once."""

    def __init__(self) -> None:
        self._places: list[set[WebSocket]] = [set() for _ in range(PLACES)]
        self._place_of: dict[WebSocket, int] = {}
        self._turn = self._last = 0

    def add(self, websocket: WebSocket) -> None:
        """Far from the one that was added before: clients come in crowds."""
        self._last = place = (self._last + STRIDE) % PLACES
        self._places[place].add(websocket)
        self._place_of[websocket] = place

    def discard(self, websocket: WebSocket) -> None:
        place = self._place_of.pop(websocket, None)
        if place is not None:
            self._places[place].discard(websocket)

    async def run(self) -> None:
        """Ping and check, until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + PING_EVERY / PLACES, loop.time())  # a pause of the whole process is not made up for
            await asyncio.sleep(due - loop.time())
            self._turn = (self._turn + 1) % PLACES
            for websocket in list(self._places[self._turn]):
                websocket.beat()
            for websocket in list(self._places[(self._turn - PATIENCE) % PLACES]):
                websocket.check()
