"""The load: cameras that are registered and idle, and viewers that join, are answered, trickle, stay a moment and leave.

A join is what a page does: connect, `register`, `offer`, three candidates; and what its camera does: `answer`, two candidates. Joins
begin on a schedule, whether those before have ended or not. Every relayed message carries the time at which it was sent.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from array import array
from dataclasses import dataclass, field

from tests.load.client import Client, upgrade

OFFER_BYTES, ANSWER_BYTES = 4000, 1500  # a browser's offer of one video section, and the camera's answer
VIEWER_CANDIDATES, CAMERA_CANDIDATES = 3, 2
RELAYED = 2 + VIEWER_CANDIDATES + CAMERA_CANDIDATES  # messages relayed for one join
STAY = 2.0  # seconds that a viewer stays connected after its answer
LOOK = 0.005  # seconds between two looks at how late this process itself is
_MARK = b"load:"  # before the time of sending, CLOCK_MONOTONIC nanoseconds


def percentile(values: array[float], share: float) -> float:
    """The value below which that share of them lies; NaN of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


@dataclass(slots=True)
class Figures:
    """What was seen. Times in milliseconds."""

    relay_ms: array[float] = field(default_factory=lambda: array("d"))  # sent at one end to arrived at the other
    join_ms: array[float] = field(default_factory=lambda: array("d"))  # connecting to having the answer
    late_ms: array[float] = field(default_factory=lambda: array("d"))  # of this process itself: part of the others
    begun: int = 0
    answered: int = 0
    lost: int = 0  # viewers that were closed, or went without an answer
    seconds: float = 0.0


class Crowd:
    """Clients of one server at `host:port`, from many loopback addresses. `stay`: seconds that a viewer remains."""

    def __init__(self, port: int, *, stay: float = STAY, addresses: int = 60, seed: int = 7) -> None:
        self._port = port
        self._stay = stay
        self._request = upgrade(f"127.0.0.1:{port}")
        # Ports of closed connections stay taken for a minute: several addresses have enough of them.
        self._addresses = itertools.cycle(f"127.0.0.{n}" for n in range(2, 2 + addresses))
        self._chance = random.Random(seed)
        self._viewers = itertools.count()
        self._sdp = {"offer": "v=0 " + "o" * OFFER_BYTES, "answer": "v=0 " + "a" * ANSWER_BYTES}
        self.cameras: list[Client] = []
        self.figures = Figures()
        self._registered = asyncio.Event()
        self._waited_for = 0
        self._loop = asyncio.get_running_loop()
        self._open: set[Client] = set()

    # cameras

    async def register_cameras(self, count: int, *, at_once: int = 50) -> None:
        """Connect and register so many more; returns when the server has confirmed all of them."""
        for begin in range(0, count, at_once):
            batch = range(begin, min(count, begin + at_once))
            self._waited_for = len(batch)
            self._registered.clear()
            await asyncio.gather(*(self._camera(len(self.cameras) + n) for n in range(len(batch))))
            async with asyncio.timeout(60):
                await self._registered.wait()

    async def _camera(self, number: int) -> None:
        client = await self._connect(self._camera_hears)
        client.tag = f"camera-{number}"
        self.cameras.append(client)
        # `received`: it is one that can be resumed, so that the server keeps what it sends to it.
        register = {"type": "register", "role": "sender", "cameraId": client.tag, "instanceId": f"load-{number}", "received": 0}
        client.send(json.dumps(register).encode())

    def _camera_hears(self, camera: Client, text: bytes) -> None:
        if text.startswith(b'{"type":"offer"'):
            self._arrived(text)
            peer = _value(text, b'"peerId":"')
            camera.send(self._relayed("answer", peer))
            for _ in range(CAMERA_CANDIDATES):
                camera.send(self._relayed("ice-candidate", peer))
        elif text.startswith(b'{"type":"ice-candidate"'):
            self._arrived(text)
        elif text.startswith(b'{"type":"registered"'):
            self._waited_for -= 1
            if self._waited_for == 0:
                self._registered.set()
        elif text.startswith(b'{"type":"error"'):
            raise RuntimeError(text.decode())

    # viewers

    async def join(self, rate: float, seconds: float) -> None:
        """So many joins a second for so long, on cameras drawn by lot; the figures are complete afterwards."""
        begun = self._loop.time()
        looking = asyncio.create_task(self._look(), name="lateness")
        joins: set[asyncio.Task[None]] = set()
        for number in range(int(rate * seconds)):
            wait = begun + number / rate - self._loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(self._visit(), name="viewer")
            joins.add(task)
            task.add_done_callback(joins.discard)
        self.figures.seconds = self._loop.time() - begun
        if joins:
            await asyncio.wait(joins, timeout=self._stay + 5)
        self.figures.lost += len(joins)
        for task in (*joins, looking):
            task.cancel()

    async def _visit(self) -> None:
        figures, begun = self.figures, time.monotonic_ns()
        figures.begun += 1
        number = next(self._viewers)
        camera, peer = str(self._chance.choice(self.cameras).tag), f"viewer-of-the-load-{number}"
        viewer = await self._connect(self._viewer_hears)
        answered: asyncio.Future[None] = self._loop.create_future()
        viewer.tag = answered
        register = {"type": "register", "role": "receiver", "offers": True, "cameraId": camera, "peerId": peer}
        viewer.send(json.dumps(register).encode())
        viewer.send(self._relayed("offer", peer))
        for _ in range(VIEWER_CANDIDATES):
            viewer.send(self._relayed("ice-candidate", peer))
        await answered
        figures.answered += 1
        figures.join_ms.append((time.monotonic_ns() - begun) / 1e6)
        await asyncio.sleep(self._stay)
        viewer.close()

    def _viewer_hears(self, viewer: Client, text: bytes) -> None:
        if text.startswith((b'{"type":"answer"', b'{"type":"ice-candidate"')):
            self._arrived(text)
            answered = viewer.tag
            if text.startswith(b'{"type":"answer"') and isinstance(answered, asyncio.Future) and not answered.done():
                answered.set_result(None)
        elif text.startswith(b'{"type":"error"'):
            raise RuntimeError(text.decode())

    # both

    async def _connect(self, on_text: object) -> Client:
        client = Client(self._request, on_text, self._closed)  # type: ignore[arg-type]
        await self._loop.create_connection(lambda: client, "127.0.0.1", self._port, local_addr=(next(self._addresses), 0))
        self._open.add(client)
        return client

    def _closed(self, client: Client) -> None:
        self._open.discard(client)
        if isinstance(client.tag, asyncio.Future) and not client.tag.done():
            self.figures.lost += 1
            client.tag.cancel()

    def _relayed(self, kind: str, peer: str) -> bytes:
        now = f"load:{time.monotonic_ns()}."
        if kind == "ice-candidate":
            candidate = f"candidate:1 1 udp 2122260223 192.0.2.17 51234 typ host generation 0 ufrag load {now}"
            body: dict[str, object] = {"candidate": {"candidate": candidate, "sdpMid": "0", "sdpMLineIndex": 0}}
        else:
            body = {"sdp": f"{now}{self._sdp[kind]}".replace("load", "v=0 load", 1)}
        return json.dumps({"type": kind, **body, "peerId": peer}, separators=(",", ":")).encode()

    def _arrived(self, text: bytes) -> None:
        at = text.find(_MARK) + len(_MARK)
        sent = int(text[at : text.index(b".", at)])
        self.figures.relay_ms.append((time.monotonic_ns() - sent) / 1e6)

    async def _look(self) -> None:
        while True:
            due = self._loop.time() + LOOK
            await asyncio.sleep(LOOK)
            self.figures.late_ms.append((self._loop.time() - due) * 1e3)

    async def leave(self) -> None:
        """Close every connection."""
        for client in list(self._open):
            client.close()
        async with asyncio.timeout(10):
            while self._open:  # noqa: ASYNC110 - of thousands, none tells
                await asyncio.sleep(0.05)


def _value(text: bytes, before: bytes) -> str:
    at = text.index(before) + len(before)
    return text[at : text.index(b'"', at)].decode()
