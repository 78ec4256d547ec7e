"""What happens to a viewer when the network changes under it: a link is cut, the TURN server dies, an address is another one."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aiortc import RTCIceServer

from edgecam.errors import EdgecamError
from edgecam.peers import PeerKey
from tests.network.coturn import Coturn
from tests.network.matrix import STUN, TURN, Way, ice_settings
from tests.network.nats import CUT, Homes, Nat
from tests.network.sides import Call, CameraSide, calling, camera_side, side, until

STALLED = 2.0  # seconds without a picture after which a viewer asks whether its call lives, as our page does


@dataclass(frozen=True, slots=True)
class Aftermath:
    """`noticed`: seconds until the camera knew that the session was dead, None when it was not. `back`: seconds until there
    were pictures again, since the event or since what it took away came back. `kept`: on the same session. `path`: at the end."""

    noticed: float | None
    back: float
    kept: bool
    path: str
    codes: tuple[str, ...]


class Watcher:
    """A viewer that wants pictures, whatever happens. It counts them, and calls again when its call is over."""

    def __init__(self, camera: CameraSide, servers: Sequence[RTCIceServer]) -> None:
        self.frames = 0
        self.calls = 0
        self._camera = camera
        self._servers = servers

    async def run(self) -> None:
        while True:
            self.calls += 1
            peer = f"viewer-{self.calls}"
            with contextlib.suppress(TimeoutError, EdgecamError, ConnectionError):
                async with calling(self._camera, peer, self._servers, browserlike=True) as call:
                    await self._watch(call, peer)
            await asyncio.sleep(0.3)

    async def _watch(self, call: Call, peer: str) -> None:
        """Until the call is over."""
        # It is told so: there is no need to wait until pictures are missed.
        lost: asyncio.Future[Any] = asyncio.ensure_future(call.lost.wait())
        decoded = lost
        try:
            while not lost.done():
                before = call.viewer.frames
                decoded = asyncio.ensure_future(call.viewer.decoded(1, STALLED))
                await asyncio.wait({decoded, lost}, return_when=asyncio.FIRST_COMPLETED)
                if decoded.cancel() or decoded.exception() is None:
                    self.frames += call.viewer.frames - before
                elif not self._camera.stage.viewers.knows(PeerKey("test", "front", peer)):
                    return
        finally:
            lost.cancel()
            decoded.cancel()


@contextmanager
def _watching(made: Homes, turn: Way, nat: Nat) -> Iterator[tuple[Watcher, CameraSide]]:
    made.routers(nat, nat)
    urls = [STUN] + ([TURN[turn]] if turn != "none" else [])
    with camera_side(made.camera, ice_settings(urls)) as camera, side(made.viewer) as viewer:
        watcher = Watcher(camera, [RTCIceServer(STUN)])
        running = asyncio.run_coroutine_threadsafe(watcher.run(), viewer.loop)
        try:
            until(lambda: watcher.frames >= 10)
            yield watcher, camera
        finally:
            running.cancel()
            viewer.run(_settle())


async def _settle() -> None:
    """Let what was cancelled clean up."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=5)


def _aftermath(watcher: Watcher, camera: CameraSide, noticed: float | None, back: float, kept: bool) -> Aftermath:
    sessions = [session for session in camera.stage.viewers if session.path is not None]
    path = sessions[-1].path.kind if sessions and sessions[-1].path else ""
    codes = tuple(failure["code"] for failure in camera.stage.viewers.failures.as_list())
    return Aftermath(noticed, back, kept, path, codes)


def link_cut(made: Homes, seconds: float, nat: Nat = "cone", turn: Way = "none") -> Aftermath:
    """Nothing passes between the homes for so long. `back` counts from its end."""
    with _watching(made, turn, nat) as (watcher, camera):
        (session,) = camera.stage.viewers
        calls = watcher.calls
        made.public.firewall(CUT)
        cut = time.monotonic()
        noticed = None
        while time.monotonic() - cut < seconds:
            if noticed is None and session._ended.is_set():
                noticed = time.monotonic() - cut
            time.sleep(0.01)
        frames = watcher.frames
        made.public.firewall("")
        back = until(lambda: watcher.frames > frames)
        return _aftermath(watcher, camera, noticed, back, watcher.calls == calls)


def turn_restarted(made: Homes, server: Coturn, away: float) -> Aftermath:
    """The TURN server is killed, and there again after `away` seconds. `back` counts from then."""
    with _watching(made, "udp", "symmetric") as (watcher, camera):
        (session,) = camera.stage.viewers
        server.kill()
        killed = time.monotonic()
        noticed = until(session._ended.is_set)
        time.sleep(max(0.0, away - (time.monotonic() - killed)))
        frames = watcher.frames
        server.start()
        return _aftermath(watcher, camera, noticed, until(lambda: watcher.frames > frames), False)


def address_changed(made: Homes) -> Aftermath:
    """The camera's router gives it another address. `back` counts from the moment at which the old one is gone."""
    with _watching(made, "none", "cone") as (watcher, camera):
        (session,) = camera.stage.viewers
        calls = watcher.calls
        made.readdress("2", "3")
        try:
            noticed = until(session._ended.is_set)
            frames = watcher.frames
            back = until(lambda: watcher.calls > calls and watcher.frames > frames)
            return _aftermath(watcher, camera, noticed, noticed + back, False)
        finally:
            made.readdress("3", "2")
