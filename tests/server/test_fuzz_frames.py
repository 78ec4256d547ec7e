"""WebSocket frames (RFC 6455) that are broken, slow, enormous, or in pieces, on real sockets; and the same bytes without any."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Awaitable, Callable

import pytest

from edgecam.server import websocket
from edgecam.server.frames import Assembler, FrameError, Opcode, frame
from edgecam.signaling.fields import MAX_MESSAGE_BYTES
from tests.load.client import masked, upgrade
from tests.server.scene import PATIENCE, Town, play

PING = b'{"type":"get-turn-config"}'


class Wire:
    """A TCP connection whose WebSocket handshake is done, or not."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def frame(self) -> tuple[int, bytes]:
        """The next frame from the server."""
        async with asyncio.timeout(PATIENCE):
            first, size = await self.reader.readexactly(2)
            if size == 126:
                (size,) = struct.unpack("!H", await self.reader.readexactly(2))
            return first & 15, await self.reader.readexactly(size)

    async def text(self) -> bytes:
        opcode, payload = await self.frame()
        assert opcode == Opcode.TEXT, (opcode, payload)
        return payload

    async def code(self) -> int:
        """The code with which the server closes; after that it is gone."""
        opcode, payload = await self.frame()
        while opcode != Opcode.CLOSE:
            opcode, payload = await self.frame()
        async with asyncio.timeout(PATIENCE):
            assert await self.reader.read() == b""
        return int.from_bytes(payload[:2], "big")


async def connected(town: Town) -> Wire:
    """Through the handshake, and welcomed."""
    wire = Wire(*await asyncio.open_connection(town.address.host, town.address.port))
    wire.writer.write(upgrade(str(town.address)))
    async with asyncio.timeout(PATIENCE):
        assert (await wire.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    assert b'"welcome"' in await wire.text()
    return wire


def over(script: Callable[[Town, Wire], Awaitable[None]]) -> None:
    async def both(town: Town) -> None:
        wire = await connected(town)
        try:
            await script(town, wire)
        finally:
            wire.writer.close()
        await town.connect()  # the server lives

    play(both)


def head(first: int, size: int, *, mask: bool = True) -> bytes:
    bit = 0x80 if mask else 0
    if size < 126:
        return bytes((first, bit | size))
    return bytes((first, bit | 127)) + size.to_bytes(8, "big")


BROKEN = {
    "unmasked": (frame(Opcode.TEXT, PING), 1002),
    "extension-bit": (b"\xc1" + masked(PING)[1:], 1002),
    "unknown-kind": (b"\x83" + masked(PING)[1:], 1002),
    "unknown-control": (b"\x8b" + masked(b"")[1:], 1002),
    "long-ping": (masked(b"x" * 126, Opcode.PING), 1002),
    "fragmented-ping": (b"\x09" + masked(b"")[1:], 1002),
    "continuation-of-nothing": (masked(PING, Opcode.CONTINUATION), 1002),
    "message-within-a-message": (b"\x01" + masked(PING)[1:] + masked(PING), 1002),
    "not-utf8": (masked(b"\xff\xfe\xfd"), 1007),
    "half-a-surrogate": (masked(b"\xed\xa0\x80"), 1007),
    "too-large-by-its-head": (head(0x81, MAX_MESSAGE_BYTES + 1), 1009),
    "the-largest-there-is": (head(0x81, 2**63 - 1), 1009),
    "a-negative-length": (head(0x81, 2**64 - 1), 1009),
    "too-large-in-pieces": (b"".join(b"\x01\xfe"[:1] + masked(b"x" * 60_000, 0 if n else 1)[1:] if n == 0
                                     else b"\x00" + masked(b"x" * 60_000, 0)[1:] for n in range(6)), 1009),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_websocket_is_closed_with_the_code_for_it(name: str) -> None:
    data, code = BROKEN[name]

    async def script(_town: Town, wire: Wire) -> None:
        wire.writer.write(data)
        assert await wire.code() == code

    over(script)


def test_a_message_in_many_pieces_with_pings_between_arrives_whole() -> None:
    async def script(_town: Town, wire: Wire) -> None:
        interrupted = range(0, len(PING) - 1, 5)
        for at in range(len(PING)):
            first = (0x80 if at == len(PING) - 1 else 0) | (Opcode.CONTINUATION if at else Opcode.TEXT)
            wire.writer.write(bytes((first,)) + masked(PING[at : at + 1])[1:])
            if at in interrupted:
                wire.writer.write(masked(b"%d" % at, Opcode.PING))
        pongs = [(await wire.frame())[1] for _ in interrupted]
        assert pongs == [b"%d" % at for at in interrupted]
        assert b'"turn-config"' in await wire.text()

    over(script)


def test_a_message_byte_by_byte_arrives_whole() -> None:
    async def script(_town: Town, wire: Wire) -> None:
        for byte in masked(PING) * 3:
            wire.writer.write(bytes((byte,)))
            await wire.writer.drain()
        for _ in range(3):
            assert b'"turn-config"' in await wire.text()

    over(script)


def test_goodbye_is_answered_and_ends_it() -> None:
    async def script(_town: Town, wire: Wire) -> None:
        wire.writer.write(masked(b"\x03\xe8bye", Opcode.CLOSE))
        assert await wire.code() == 1000

    over(script)


def test_a_frame_that_never_ends_is_cut_off_like_a_dead_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "PING_EVERY", 1.0)  # seconds; as quick as the test should be

    async def script(_town: Town, wire: Wire) -> None:
        wire.writer.write(head(0x81, 100_000) + b"mask")
        ended = asyncio.ensure_future(wire.reader.read())
        for _ in range(100):
            if ended.done():
                break
            wire.writer.write(b"x")  # a byte now and then: alive, but nothing comes of it
            await asyncio.wait([ended], timeout=0.1)
        assert ended.done(), "it may go on for ever"

    over(script)


def test_whoever_answers_pings_stays_and_whoever_does_not_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "PING_EVERY", 1.0)

    async def script(town: Town, wire: Wire) -> None:
        silent = await connected(town)
        for _ in range(4):
            opcode, payload = await wire.frame()
            assert opcode == Opcode.PING
            wire.writer.write(masked(payload, Opcode.PONG))
        async with asyncio.timeout(5):
            await silent.reader.read()
        silent.writer.close()
        wire.writer.write(masked(PING))
        while (await wire.frame())[0] != Opcode.TEXT:
            pass

    over(script)


@pytest.mark.parametrize(
    "change",
    [
        (b"Version: 13", b"Version: 8"),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"short"),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"dGhlIHNhbXBsZSBub25jZ@=="),
        (b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b""),
        (b"Connection: Upgrade", b"Connection: close"),
        (b"GET", b"POST"),
    ],
    ids=["version", "short-key", "garbled-key", "no-upgrade", "no-connection", "post"],
)
def test_a_handshake_that_is_none_is_refused(change: tuple[bytes, bytes]) -> None:
    async def script(town: Town) -> None:
        reader, writer = await asyncio.open_connection(town.address.host, town.address.port)
        writer.write(upgrade(str(town.address)).replace(*change))
        async with asyncio.timeout(PATIENCE):
            status = (await reader.readline()).split()[1]
        assert status in {b"400", b"405", b"426"}
        writer.close()

    play(script)


def test_random_bytes_after_the_handshake_end_the_connection_or_do_nothing() -> None:
    async def script(town: Town) -> None:
        chance = random.Random(17)
        for _ in range(150):
            wire = await connected(town)
            wire.writer.write(chance.randbytes(chance.choice((1, 2, 6, 14, 200, 5000))))
            wire.writer.write_eof()
            async with asyncio.timeout(PATIENCE):
                await wire.reader.read()
            wire.writer.close()
        assert (await town.json("/status"))["clients"] <= 1

    play(script)


def test_thousands_of_torn_streams_give_messages_or_an_error_and_nothing_else() -> None:
    """Whole messages come out as they went in, however the stream is cut; broken ones raise FrameError."""
    chance = random.Random(23)
    refused = 0
    for _ in range(20_000):
        kinds = chance.choices((Opcode.TEXT, Opcode.BINARY, Opcode.PING), k=3)
        sent = [(kind, chance.randbytes(chance.choice((0, 1, 125) if kind is Opcode.PING else (0, 125, 126, 300)))) for kind in kinds]
        stream = b"".join(masked(payload, opcode) for opcode, payload in sent)
        broken = chance.random() < 0.5
        if broken:
            at = chance.randrange(min(len(stream), 16))  # most often in a head
            stream = stream[:at] + bytes((stream[at] ^ (1 << chance.randrange(8)),)) + stream[at + 1 :]
        got, code = _torn(stream, chance)
        assert code in {None, 1002, 1009}
        assert broken or (got == sent and code is None)
        refused += code is not None
    assert refused > 1000


def _torn(stream: bytes, chance: random.Random) -> tuple[list[tuple[Opcode, bytes]], int | None]:
    """What comes of a stream that arrives in pieces of any size, and the code with which it ends if it is refused."""
    assembler, got = Assembler(1000), []
    try:
        while stream:
            cut = chance.choice((1, 2, 3, 50, 1000))
            got += list(assembler.feed(stream[:cut]))
            stream = stream[cut:]
    except FrameError as error:
        return got, error.code
    return got, None
