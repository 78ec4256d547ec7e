"""One WebSocket of the signaling server: bounded sending, paced reading."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass

import structlog
from aiohttp import WSMsgType, web

from edgecam.server.hub import Hub
from edgecam.server.seats import CameraSeat, Client
from edgecam.signaling import wire

log = structlog.get_logger(__name__)

HEARTBEAT = 10.0  # seconds between pings; aiohttp gives the pong half of it, so a dead peer is gone within 15 s
CLOSE_TIMEOUT = 1.0  # seconds that a closing handshake may take
# What may wait for one slow client before it is cut off: enough for a camera whose viewers all join at once.
QUEUE_MESSAGES = 2048
QUEUE_BYTES = 4 * 1024 * 1024

# Messages a client may send per second, and at once. A camera speaks for many viewers.
_VIEWER_RATE = 50.0
_CAMERA_RATE = 1000.0
_BURST_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class _Close:
    code: int
    reason: str


class Socket:
    """A client's WebSocket. Implements `seats.Link`; `serve` runs it."""

    def __init__(self, ws: web.WebSocketResponse, request: web.Request, remote: str) -> None:
        self.remote = remote
        self._ws = ws
        self._transport = request.transport
        self._queue: deque[str | _Close] = deque()
        self._queued_bytes = 0
        self._ready = asyncio.Event()
        self._closing = False

    def send(self, text: str) -> None:
        """Queue a text frame; a client that lets too many pile up is cut off."""
        if self._closing:
            return
        self._queue.append(text)
        self._queued_bytes += len(text)
        self._ready.set()
        if len(self._queue) > QUEUE_MESSAGES or self._queued_bytes > QUEUE_BYTES:
            log.warning("client.cut-off", remote=self.remote, reason="it reads too slowly", queued=len(self._queue))
            self._closing = True
            self._queue.clear()
            if self._transport is not None:
                self._transport.abort()

    def close(self, code: int, reason: str) -> None:
        """Close after what is queued."""
        if not self._closing:
            self._closing = True
            self._queue.append(_Close(code, reason))
            self._ready.set()

    async def serve(self, hub: Hub, client: Client) -> None:
        """Exchange messages until the socket is closed by either side."""
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(self._write(), name=f"server.socket.{self.remote}.write")
            await self._read(hub, client)
            writer.cancel()

    async def _read(self, hub: Hub, client: Client) -> None:
        pace = _Pace()
        async for message in self._ws:
            if message.type is WSMsgType.TEXT:
                hub.receive(client, message.data)
            elif message.type is WSMsgType.BINARY:
                hub.complain(client, wire.Error("messages are text frames", "bad-message"))
            else:
                break
            # Reading slower pushes back on a flood before it reaches the camera's queue.
            wait = pace.spend(_CAMERA_RATE if isinstance(client.seat, CameraSeat) else _VIEWER_RATE)
            if wait:
                await asyncio.sleep(wait)

    async def _write(self) -> None:
        try:
            while True:
                while self._queue:
                    item = self._queue.popleft()
                    if isinstance(item, _Close):
                        await self._ws.close(code=item.code, message=item.reason.encode())
                        return
                    self._queued_bytes -= len(item)
                    await self._ws.send_str(item)
                self._ready.clear()
                await self._ready.wait()
        except ConnectionError:
            return  # the reader sees it too, and ends


class _Pace:
    """A token bucket, kept as the time until which the client has spent its share."""

    def __init__(self) -> None:
        self._spent_until = 0.0

    def spend(self, rate: float) -> float:
        """Count one message; the seconds to wait before the next one may be read."""
        now = time.monotonic()
        self._spent_until = max(self._spent_until, now) + 1 / rate
        return max(0.0, self._spent_until - now - _BURST_SECONDS)
