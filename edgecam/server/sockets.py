"""One WebSocket of the signaling server: bounded sending, paced reading."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

import structlog

from edgecam.server.limits import Pace, Visitor
from edgecam.server.websocket import Heartbeats, WebSocket
from edgecam.settings import LimitSettings
from edgecam.signaling.fields import MAX_MESSAGE_BYTES

log = structlog.get_logger(__name__)

# What may wait for one slow client before it is cut off: enough for a camera whose viewers all join at once.
QUEUE_BYTES = 4 * 1024 * 1024

REGISTER_WEIGHT = 10  # what `register` counts as: it is heard by others, and may cost a signature
LONGEST_WAIT = 3.0  # seconds between two messages of a client that is read slowly; pongs must be seen in time
TELL_EVERY = 10.0  # seconds between two messages to it that say so


class Reader(Protocol):
    """Who takes in what a socket receives."""

    def receive(self, text: str) -> None:
        """A text frame."""

    def complain(self, message: str, code: str) -> None:
        """The client has done something that it may not."""

    def warn(self, message: str, code: str) -> None:
        """The client is told, and nothing else."""

    @property
    def is_camera(self) -> bool:
        """Whether it speaks for a camera, to many viewers."""


class Socket:
    """A client's WebSocket. `reader` may change, and is None once nobody listens any more."""

    __slots__ = (
        "_byte_pace", "_ended", "_limits", "_message_pace", "_told", "_visitor", "bytes", "messages", "reader", "remote", "websocket",
    )  # fmt: skip

    def __init__(self, heartbeats: Heartbeats, remote: str, limits: LimitSettings, visitor: Visitor | None) -> None:
        self.remote = remote
        self.reader: Reader | None = None
        self.messages = self.bytes = 0  # received
        self.websocket = WebSocket(heartbeats, self, limit=MAX_MESSAGE_BYTES, unsent=QUEUE_BYTES)
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._limits = limits
        self._visitor = visitor
        self._message_pace, self._byte_pace = Pace(limits.viewer_messages), Pace(limits.viewer_bytes)
        self._told = -TELL_EVERY

    @property
    def broke(self) -> bool:
        """Whether the connection ended without anybody's wanting it."""
        return not (self.websocket.closing or self.websocket.said_goodbye)

    def send(self, text: str) -> None:
        """Send a message; a client that lets too much pile up is cut off."""
        if not self.websocket.send(text):
            log.warning("client.cut-off", remote=self.remote, reason="it reads too slowly")

    def close(self, code: int, reason: str) -> None:
        """Close after what was sent."""
        self.websocket.close(code, reason)

    async def ended(self) -> None:
        """Wait for the end of the connection, by whomever."""
        await self._ended

    # websocket.Listener

    def message(self, data: str | bytes) -> None:
        """Pass it on, and read slower if there are too many: that pushes back on a flood before it reaches the camera's queue."""
        reader = self.reader
        if reader is None:
            return
        if isinstance(data, str):
            reader.receive(data)
        else:
            reader.complain("messages are text frames", "bad-message")
        wait = self._pace(reader, data)
        if wait:
            self.websocket.hold(min(wait, LONGEST_WAIT))

    def gone(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def _pace(self, reader: Reader, data: str | bytes) -> float:
        """Count a message; the seconds to wait before the next one may be read."""
        size, limits = len(data), self._limits
        self.messages += 1
        self.bytes += size
        weight = REGISTER_WEIGHT if size < 4096 and '"register"' in str(data[:64]) else 1
        rates = (limits.camera_messages, limits.camera_bytes) if reader.is_camera else (limits.viewer_messages, limits.viewer_bytes)
        waits = [self._message_pace.spend(weight, rates[0]), self._byte_pace.spend(size, rates[1])]
        if self._visitor is not None:
            waits += [self._visitor.messages.spend(weight), self._visitor.bytes.spend(size)]
        wait = max(waits)
        now = time.monotonic()
        if wait and now - self._told > TELL_EVERY:
            self._told = now
            limit = (f"{rates[0]} messages", f"{rates[1]} bytes", f"{limits.address_messages} messages", f"{limits.camera_bytes} bytes")
            whose = "your address" if waits.index(wait) > 1 else "you"
            reader.warn(f"{whose} may send {limit[waits.index(wait)]} a second; what is more is read later", "slow-down")
        return wait
