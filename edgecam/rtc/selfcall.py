"""A call of the camera to itself through a TURN server: the real session on one side, an aiortc viewer on the other.

Both sides may use relayed addresses only, so that a picture which arrives has gone through the server twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from edgecam.errors import EdgecamError, NegotiationError
from edgecam.media.pipeline import Pipeline
from edgecam.peers import PeerKey
from edgecam.rtc import aiortc_private
from edgecam.rtc.ice.agent import Agent
from edgecam.rtc.ice.gathering import Gathering
from edgecam.rtc.ice.servers import servers_of
from edgecam.rtc.relay import require_relay
from edgecam.rtc.viewers import Viewers
from edgecam.settings import IceServer, IceSettings, ViewerSettings

log = structlog.get_logger(__name__)

VIA = "doctor"
WATCHED = 2.0  # seconds of pictures
PATIENCE = 8.0  # seconds until the first one
HANG_UP = 2.0  # seconds that closing our end may take


@dataclass(frozen=True, slots=True)
class CallResult:
    """What arrived. Times in seconds since the call began, None for what did not happen; `error` says why there was no
    call at all."""

    answered_s: float | None = None
    connected_s: float | None = None
    first_frame_s: float | None = None
    frames: int = 0
    fps: float = 0.0
    packets: int = 0
    lost: int = 0
    width: int = 0
    height: int = 0
    path: str = ""
    error: EdgecamError | None = None

    @property
    def works(self) -> bool:
        return self.frames > 1


class _Caller:
    """The viewer's end."""

    def __init__(self, ice: IceSettings) -> None:
        self.began = time.monotonic()
        self.answered: float | None = None
        self.connected: float | None = None
        self.first: float | None = None
        self.last = 0.0
        self.frames = 0
        self.size = (0, 0)
        self.settled = asyncio.Event()  # a picture has been seen, or none will be
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._gathering = Gathering.alone(ice, servers_of(ice.servers))
        self._decoding: asyncio.Task[None] | None = None
        self.pc.on("track", self._take)
        self.pc.on("connectionstatechange", self._changed)

    def elapsed(self) -> float:
        return time.monotonic() - self.began

    async def offer(self) -> str:
        """Raises ViewerRefusedError when the server gives no relayed address."""
        self.pc.addTransceiver("video", direction="recvonly")
        aiortc_private.replace_ice(
            self.pc, lambda: Agent(self._gathering, "caller", lambda _candidate: None, lambda _code: self.settled.set())
        )
        await self.pc.setLocalDescription(await self.pc.createOffer())
        description = str(self.pc.localDescription.sdp)
        require_relay(self._gathering.servers, self._gathering.context.health, description)
        return description

    async def accept(self, answer: str) -> None:
        self.answered = self.elapsed()
        await self.pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def close(self) -> None:
        if self._decoding is not None:
            self._decoding.cancel()
            await asyncio.wait([self._decoding])
        closing = asyncio.ensure_future(self.pc.close())
        await asyncio.wait([closing], timeout=HANG_UP)
        closing.cancel()

    def _changed(self) -> None:
        if self.pc.connectionState == "connected" and self.connected is None:
            self.connected = self.elapsed()
        elif self.pc.connectionState in {"failed", "closed"}:
            self.settled.set()

    def _take(self, track: Any) -> None:
        self._decoding = asyncio.create_task(self._decode(track), name="doctor decode")

    async def _decode(self, track: Any) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            self.frames += 1
            self.last = self.elapsed()
            if self.first is None:
                self.first, self.size = self.last, (frame.width, frame.height)
                self.settled.set()

    async def result(self, path: str) -> CallResult:
        packets = lost = 0
        for stats in (await self.pc.getStats()).values():
            if stats.type == "inbound-rtp":
                packets, lost = stats.packetsReceived, stats.packetsLost
        # The first picture starts the clock, so it is not counted.
        fps = (self.frames - 1) / (self.last - self.first) if self.first is not None and self.last > self.first else 0.0
        times = (self.answered, self.connected, self.first)
        return CallResult(*times, self.frames, fps, packets, lost, *self.size, path)


async def call_through(
    pipeline: Pipeline, server: IceServer, ice: IceSettings, *, watched: float = WATCHED
) -> CallResult:
    """Watch `pipeline` through the TURN server `server` for `watched` seconds. Takes PATIENCE more at most, and raises
    nothing but what is a bug."""
    own = ice.model_copy(
        update={"policy": "relay", "servers": (server,), "use_signaling_servers": False, "standby_relay": False}
    )
    viewers = Viewers({pipeline.name: pipeline}, own, ViewerSettings(connect_timeout=PATIENCE))
    key = PeerKey(VIA, pipeline.name, "relay-check")
    async with viewers.serving(), _calling(own) as caller:
        try:
            async with asyncio.timeout(PATIENCE):
                await caller.accept(await viewers.answer(key, await caller.offer()))
                await caller.settled.wait()
            await asyncio.sleep(watched if caller.first is not None else 0)
        except TimeoutError:
            log.debug("selfcall.timeout", server=server.urls)
        except EdgecamError as error:
            return CallResult(error=error)
        except Exception:  # per-viewer boundary: the daemon goes on whatever its own call breaks
            log.exception("selfcall.failed", server=server.urls)
            return CallResult(error=NegotiationError("the call broke off", remedy="see the log", code="internal"))
        session = next(iter(viewers), None)
        path = session.path if session is not None else None
        return await caller.result(path.kind if path is not None else "")


@asynccontextmanager
async def _calling(ice: IceSettings) -> AsyncIterator[_Caller]:
    caller = _Caller(ice)
    try:
        yield caller
    finally:
        await caller.close()
