"""A WebSocket client (RFC 6455) that costs next to nothing: thousands of them run in one process beside the server under test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

_KEY = b"\x12\x34\x56\x78"  # clients must mask; nobody on loopback needs that to be unpredictable
_LONG = int.from_bytes(_KEY * 16384, "little")  # up to 64 KiB
_CLOSE = b"\x88\x82" + _KEY + bytes(a ^ b for a, b in zip(b"\x03\xe8", _KEY, strict=False))  # 1000, normal closure

TEXT, CLOSE, PING = 1, 8, 9


def masked(payload: bytes, opcode: int = TEXT) -> bytes:
    """One whole frame of up to 64 KiB, as a client sends it."""
    size = len(payload)
    head = bytes((0x80 | opcode, 0x80 | size)) if size < 126 else bytes((0x80 | opcode, 0xFE)) + size.to_bytes(2, "big")
    key = _LONG & ((1 << size * 8) - 1)
    return head + _KEY + (int.from_bytes(payload, "little") ^ key).to_bytes(size, "little")


def upgrade(host: str, path: str = "/ws") -> bytes:
    """The request that opens a WebSocket."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


class Client(asyncio.Protocol):
    """`on_text(client, payload)` hears each message, `on_close(client)` the end. What is sent before the handshake waits for it."""

    __slots__ = ("_buffer", "_open", "_waiting", "on_close", "on_text", "request", "tag", "transport")

    def __init__(
        self, request: bytes, on_text: Callable[[Client, bytes], None], on_close: Callable[[Client], None] = lambda _client: None
    ) -> None:
        self.request = request
        self.on_text = on_text
        self.on_close = on_close
        self.tag: object = None  # the user's
        self.transport: asyncio.Transport | None = None
        self._buffer = b""
        self._open = False
        self._waiting: list[bytes] = []

    def send(self, payload: bytes) -> None:
        frame = masked(payload)
        if self._open and self.transport is not None:
            self.transport.write(frame)
        else:
            self._waiting.append(frame)

    def close(self) -> None:
        """Say so and go; nobody waits for the answer."""
        if self.transport is not None:
            self.transport.write(_CLOSE)
            self.transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self.request)

    def connection_lost(self, exc: Exception | None) -> None:
        self.on_close(self)

    def data_received(self, data: bytes) -> None:
        self._buffer = data = self._buffer + data if self._buffer else data
        at = 0
        if not self._open:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                return
            if not data.startswith(b"HTTP/1.1 101"):
                raise ConnectionError(f"the server refuses: {data[:200]!r}")
            self._open, at = True, end + 4
            if self._waiting and self.transport is not None:
                self.transport.write(b"".join(self._waiting))
            self._waiting = []
        while True:
            following = self._take(data, at)
            if following == at:
                break
            at = following
        self._buffer = data[at:]

    def _take(self, data: bytes, at: int) -> int:
        """Act on the frame that begins there; where the next one begins, or the same place when it is not whole yet."""
        if len(data) < at + 2:
            return at
        size, body = data[at + 1], at + 2
        if size == 126:
            size, body = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
        elif size == 127:
            size, body = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
        if len(data) < body + size:
            return at
        opcode = data[at] & 15
        if opcode == TEXT:
            self.on_text(self, data[body : body + size])
        elif opcode == PING and self.transport is not None:
            self.transport.write(masked(data[body : body + size], 10))
        elif opcode == CLOSE and self.transport is not None:
            self.transport.close()
        return body + size
