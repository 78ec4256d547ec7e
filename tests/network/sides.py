"""A camera and a viewer of one process that live on different machines: each an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from aiortc import RTCIceServer
from aiortc.sdp import candidate_from_sdp

from edgecam.errors import EdgecamError
from edgecam.peers import Candidate, PeerKey
from edgecam.rtc.ice.candidate import Candidate as IceCandidate
from edgecam.settings import IceSettings, ViewerSettings
from tests.network.browserlike import BrowserlikeViewer
from tests.network.namespaces import Machine
from tests.peers.viewer import Viewer
from tests.rtc.scene import Scene, scene

T = TypeVar("T")


class Side:
    """An event loop on a machine."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """From another thread: run it there, wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def ask(self, work: Coroutine[Any, Any, T]) -> Awaitable[T]:
        """From another loop: run it there, await it here."""
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))


@contextmanager
def side(where: Machine) -> Iterator[Side]:
    """Its sockets are on that machine, because its thread is."""
    made: list[asyncio.AbstractEventLoop] = []
    ready = threading.Event()

    def live() -> None:
        with where.inside():
            loop = asyncio.new_event_loop()
            made.append(loop)
            loop.call_soon(ready.set)
            loop.run_forever()
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    thread = threading.Thread(target=live, name=where.name)
    thread.start()
    ready.wait()
    try:
        yield Side(made[0])
    finally:
        made[0].call_soon_threadsafe(made[0].stop)
        thread.join()


def until(condition: Callable[[], bool], within: float = 25.0) -> float:
    """Seconds until the condition, which lies in other threads, was true."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < within, "that took too long"
        time.sleep(0.01)
    return time.monotonic() - begun


class CameraSide:
    """The real pipeline and sessions on the camera's machine."""

    def __init__(self, there: Side, stage: Scene) -> None:
        self.side = there
        self.stage = stage


@contextmanager
def camera_side(where: Machine, ice: IceSettings) -> Iterator[CameraSide]:
    """A camera for the length of a row."""
    with side(where) as there:
        kept: list[Any] = []
        ready = threading.Event()
        # Entered and left in one task, as task groups want it.
        done = asyncio.run_coroutine_threadsafe(_hold(ice, ready, kept), there.loop)
        ready.wait(10)
        stage, leave = kept
        try:
            yield CameraSide(there, stage)
        finally:
            there.loop.call_soon_threadsafe(leave.set)
            done.result(10)


async def _hold(ice: IceSettings, ready: threading.Event, kept: list[Any]) -> None:
    leave = asyncio.Event()
    async with scene(ice=ice, settings=ViewerSettings(connect_timeout=15)) as stage:
        # The benchmark of its first 50 ms would stand in the time of a viewer that comes at once.
        await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == "srtp profiles"))
        kept += [stage, leave]
        ready.set()
        await leave.wait()


class Call:
    """One call of an aiortc viewer: what our own page does, without a page. Use in the viewer's loop."""

    def __init__(self, camera: CameraSide, peer: str, ice_servers: Sequence[RTCIceServer], *, browserlike: bool) -> None:
        self.viewer = BrowserlikeViewer(ice_servers, self._found, self.path_lost) if browserlike else Viewer(list(ice_servers))
        self.lost = asyncio.Event()
        self.answered_ms = 0.0
        self.description = ""  # the camera's answer
        self._camera = camera
        self._key = PeerKey("test", "front", peer)
        self._loop = asyncio.get_running_loop()
        self._accepted = False
        self._early: list[Candidate] = []
        self._adding: set[asyncio.Task[None]] = set()

    # peers.PeerLink, called in the camera's thread

    def local_candidate(self, candidate: Candidate | None) -> None:
        if candidate is not None:
            self._loop.call_soon_threadsafe(self._take, candidate)

    def path_lost(self) -> None:
        self._loop.call_soon_threadsafe(self.lost.set)

    def turned_away(self, error: EdgecamError) -> None:
        raise AssertionError(f"turned away: {error}")

    async def begin(self) -> None:
        """Offer, and accept the answer."""
        offer = await self.viewer.offer(h264_only=True)
        begun = self._loop.time()
        self._begun = begun
        answer = await self._camera.side.ask(self._camera.stage.viewers.answer(self._key, offer, link=self))
        self.answered_ms = (self._loop.time() - begun) * 1000
        self.description = answer
        await self.viewer.accept(answer)
        self._accepted = True
        for candidate in self._early:
            self._take(candidate)

    async def pictures(self, more: int = 1, within: float = 15.0) -> float:
        """Milliseconds from the offer until they were decoded."""
        await self.viewer.decoded(more, within)
        return (self._loop.time() - self._begun) * 1000

    @property
    def alive(self) -> bool:
        return self.viewer.pc.connectionState == "connected" and not self.lost.is_set()

    def _found(self, found: IceCandidate | None) -> None:
        """One of the viewer's own candidates: to the camera."""
        told = Candidate(found.line, "0", 0) if found is not None else None
        self._camera.side.loop.call_soon_threadsafe(self._camera.stage.viewers.add_candidate, self._key, told)

    def _take(self, candidate: Candidate) -> None:
        if not self._accepted:
            self._early.append(candidate)
            return
        parsed: Any = candidate_from_sdp(candidate.candidate.removeprefix("candidate:"))
        parsed.sdpMid, parsed.sdpMLineIndex = candidate.sdp_mid, candidate.sdp_mline_index
        task = self._loop.create_task(self.viewer.pc.addIceCandidate(parsed))
        self._adding.add(task)
        task.add_done_callback(self._adding.discard)


@asynccontextmanager
async def calling(
    camera: CameraSide, peer: str = "viewer", ice_servers: Sequence[RTCIceServer] = (), *, browserlike: bool = False
) -> AsyncIterator[Call]:
    """A call that is hung up at the end."""
    call = Call(camera, peer, ice_servers, browserlike=browserlike)
    try:
        await call.begin()
        yield call
    finally:
        await call.viewer.__aexit__(None, None, None)
