"""`python -m tests.load.attacker KIND HOST PORT RATE`: attack the server from another address until killed; says "begun" first.

Only ever started inside a network namespace of the test's own. RATE: connections a second at most; messages go as fast as they are taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable

from tests.load.client import Client, masked, upgrade

SOCKETS = 20  # that one attacker keeps open


class Flooder(Client):
    """Sends as long as anybody takes it, and costs nothing while nobody does."""

    __slots__ = ("writable",)

    def __init__(self, request: bytes) -> None:
        super().__init__(request, lambda _client, _text: None)
        self.writable = asyncio.Event()
        self.writable.set()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.writable.set()


class Attacker:
    """One address that means harm."""

    def __init__(self, host: str, port: int, rate: float) -> None:
        self._host, self._port, self._rate = host, port, rate
        self._count = 0

    async def connections(self) -> None:
        """Open a WebSocket and close it, again and again."""
        await self._paced(self._open_and_close)

    async def silence(self) -> None:
        """Connect and say nothing, or half a request."""
        kept: list[asyncio.BaseTransport] = []

        async def connect() -> None:
            transport = await self._connect(asyncio.Protocol)
            transport.write(b"GET /ws HTTP/1.1\r\nHost: x"[: 26 * (self._count % 2)])
            kept.append(transport)

        await self._paced(connect)

    async def messages(self) -> None:
        """Candidates for a camera that is there, as many as are taken."""
        candidate = {"type": "ice-candidate", "candidate": {"candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host", "sdpMid": "0"}}
        await self._flood(lambda _number: json.dumps(candidate).encode())

    async def registrations(self) -> None:
        """Viewers that register anew with every message."""

        def register(_number: int) -> bytes:
            self._count += 1
            peer = f"attacking-viewer-{self._count:08d}"
            return json.dumps({"type": "register", "role": "receiver", "cameraId": "target", "peerId": peer}).encode()

        await self._flood(register)

    async def garbage(self) -> None:
        """Long messages that are no JSON; a connection that was closed for it is opened again."""
        await self._flood(lambda _number: b"[" * 60_000)

    async def _open_and_close(self) -> None:
        transport = await self._connect(asyncio.Protocol)
        transport.write(upgrade(f"{self._host}:{self._port}"))
        asyncio.get_running_loop().call_later(0.5, transport.abort)

    async def _connect(self, make: Callable[[], asyncio.Protocol]) -> asyncio.Transport:
        self._count += 1
        transport, _ = await asyncio.get_running_loop().create_connection(make, self._host, self._port)
        return transport

    async def _paced(self, act: Callable[[], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for number in range(10**9):
            wait = begun + number / self._rate - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            with contextlib.suppress(OSError):
                await act()

    async def _flood(self, make: Callable[[int], bytes]) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(SOCKETS):
                group.create_task(self._one_flood(number, make), name=f"flood {number}")

    async def _one_flood(self, number: int, make: Callable[[int], bytes]) -> None:
        register = {"type": "register", "role": "receiver", "cameraId": "target", "peerId": f"attacking-viewer-{number}"}
        while True:
            client = Flooder(upgrade(f"{self._host}:{self._port}"))
            with contextlib.suppress(OSError, ConnectionError):
                await self._connect(lambda client=client: client)  # type: ignore[misc]
                client.send(json.dumps(register).encode())
                transport = client.transport
                while transport is not None and not transport.is_closing():
                    await client.writable.wait()
                    transport.write(masked(make(number)))
                    await asyncio.sleep(0)
            await asyncio.sleep(0.2)


async def _main(kind: str, host: str, port: int, rate: float) -> None:
    attacker = Attacker(host, port, rate)
    print("begun", flush=True)
    await getattr(attacker, kind)()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
