"""WebSocket frames (RFC 6455 section 5) as a server reads and writes them. Pure bytes: no socket, no time."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

MAX_CONTROL = 125  # bytes that a ping, a pong or a close may carry
SHORT, LONG = 126, 127  # in place of a length, for the two longer ways to write one

_NOTHING = bytearray()
_XOR = [bytes(key ^ byte for byte in range(256)) for key in range(256)]


class Opcode(IntEnum):
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


_OPCODES = {int(opcode): opcode for opcode in Opcode}


class FrameError(Exception):
    """What came is not WebSocket; `code` says why to the other side (section 7.4.1)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def frame(opcode: Opcode, payload: bytes) -> bytes:
    """One whole unmasked frame."""
    size = len(payload)
    if size < SHORT:
        return bytes((0x80 | opcode, size)) + payload
    if size < 1 << 16:
        return bytes((0x80 | opcode, SHORT)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, LONG)) + size.to_bytes(8, "big") + payload


def unmask(payload: bytes, key: bytes) -> bytes:
    """Section 5.3. One table per byte of the key: quicker in Python than any arithmetic."""
    plain = bytearray(payload)
    for offset in range(4):
        plain[offset::4] = plain[offset::4].translate(_XOR[key[offset]])
    return bytes(plain)


class Assembler:
    """Puts messages together out of what arrives. `limit`: bytes that a message may have."""

    __slots__ = ("_buffer", "_kind", "_limit", "_needed", "_parts", "_size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = _NOTHING
        self._needed = 0  # bytes without which it need not be looked at again: who sends one at a time costs no more for it
        self._kind: Opcode | None = None  # of a message of which not all fragments are there
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[tuple[Opcode, bytes]]:
        """Each control frame and whole message in turn; what is not asked for waits for the next call. Raises FrameError."""
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed:
                return
            data = bytes(self._buffer)
        at = self._needed = 0
        try:
            while (found := self._frame(data, at)) is not None:
                opcode, final, payload, at = found
                whole_already = final and opcode is not Opcode.CONTINUATION and self._kind is None
                if whole_already or opcode >= Opcode.CLOSE:
                    yield opcode, payload
                elif (whole := self._fragment(opcode, payload, final=final)) is not None:
                    yield whole
        finally:
            self._buffer = bytearray(data[at:]) if at < len(data) else _NOTHING

    def _frame(self, data: bytes, at: int) -> tuple[Opcode, bool, bytes, int] | None:
        """Opcode, FIN, payload and end of the frame that begins there; None while it is not whole."""
        if len(data) < at + 2:
            self._needed = 2
            return None
        first, second = data[at], data[at + 1]
        opcode, size, begin = _OPCODES.get(first & 0x0F), second & 0x7F, at + 2
        if opcode is None or first & 0x70 or not second & 0x80:
            raise FrameError(1002, "frames must be masked, of a known kind, and without extensions")
        if opcode >= Opcode.CLOSE and (size > MAX_CONTROL or not first & 0x80):
            raise FrameError(1002, "a control frame must be short and whole")
        if size >= SHORT:
            octets = 2 if size == SHORT else 8
            if len(data) < begin + octets:
                self._needed = 2 + octets
                return None
            size, begin = int.from_bytes(data[begin : begin + octets], "big"), begin + octets
        if self._size + size > self._limit:
            raise FrameError(1009, f"a message may have {self._limit} bytes at most")
        end = begin + 4 + size
        if len(data) < end:
            self._needed = end - at
            return None
        return opcode, bool(first & 0x80), unmask(data[begin + 4 : end], data[begin : begin + 4]), end

    def _fragment(self, opcode: Opcode, payload: bytes, *, final: bool) -> tuple[Opcode, bytes] | None:
        """Section 5.4: the first fragment has the kind, the others have none."""
        if (opcode is Opcode.CONTINUATION) is (self._kind is None):
            raise FrameError(1002, "a fragment belongs to no message, or a message begins within another")
        self._kind = self._kind or opcode
        self._size += len(payload)
        if payload:
            self._parts.append(payload)
        if not final:
            return None
        whole = self._kind, b"".join(self._parts)
        self._kind, self._parts, self._size = None, [], 0
        return whole
