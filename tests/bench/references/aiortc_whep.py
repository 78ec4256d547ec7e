"""`python -m tests.bench.references.aiortc_whep shared|encode`: aiortc as it is, behind WHEP.

`shared`: every viewer's track hands aiortc the same encoded units as `av.Packet`s; aiortc packetises, encrypts and
sends for each. `encode`: every viewer's track hands it pictures, and aiortc encodes them at 2 Mbit/s for each, which is
what its examples do; the pictures are decoded before, so that only encoding is paid for.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import deque
from fractions import Fraction
from typing import Any

import av
from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.codecs import h264
from aiortc.mediastreams import MediaStreamTrack

from tests.bench import stream

TIME_BASE = Fraction(1, 90_000)
QUEUE = 32  # units; a viewer further behind loses the oldest
PICTURES = 60  # decoded ones kept for `encode`


class Track(MediaStreamTrack):
    """One viewer's queue."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self.queue: deque[Any] = deque(maxlen=QUEUE)
        self.arrived = asyncio.Event()

    async def recv(self) -> Any:
        while not self.queue:
            self.arrived.clear()
            await self.arrived.wait()
        return self.queue.popleft()


class Server:
    """The stream and those who watch it."""

    def __init__(self, *, encode: bool) -> None:
        self.encode = encode
        self.peers: set[RTCPeerConnection] = set()
        self.tracks: list[Track] = []

    async def join(self, request: web.Request) -> web.Response:
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.peers.add(pc)
        track = Track()
        transceiver = pc.addTransceiver(track, direction="sendonly")
        capabilities = RTCRtpSender.getCapabilities("video").codecs
        transceiver.setCodecPreferences([codec for codec in capabilities if codec.mimeType == "video/H264"])
        await pc.setRemoteDescription(RTCSessionDescription(await request.text(), "offer"))
        await pc.setLocalDescription(await pc.createAnswer())
        self.tracks.append(track)
        return web.Response(status=201, content_type="application/sdp", text=pc.localDescription.sdp)

    def deliver(self, what: bytes | av.VideoFrame, number: int) -> None:
        """Called on the loop for each unit or picture."""
        for track in self.tracks:
            shared: Any = av.Packet(what) if isinstance(what, bytes) else what
            shared.pts = number * stream.PERIOD_NS * 9 // 100_000
            shared.time_base = TIME_BASE
            track.queue.append(shared)
            track.arrived.set()


def _pictures(units: list[stream.Unit]) -> list[av.VideoFrame]:
    decoder = av.CodecContext.create("h264", "r")
    found: list[Any] = []
    for unit in units[:PICTURES]:
        found += decoder.decode(av.Packet(unit.data))
    return found


def _play(server: Server, loop: asyncio.AbstractEventLoop, units: list[stream.Unit]) -> None:
    """The body of a thread."""
    pictures = _pictures(units) if server.encode else []
    for number, unit in stream.played(units):
        what = pictures[number % len(pictures)] if pictures else unit.data
        loop.call_soon_threadsafe(server.deliver, what, number)


async def main(*, encode: bool) -> None:
    tables: Any = h264
    tables.DEFAULT_BITRATE = tables.MAX_BITRATE = stream.BITRATE
    server = Server(encode=encode)
    app = web.Application()
    app.router.add_post("/whep", server.join)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    arguments = (server, asyncio.get_running_loop(), stream.load())
    threading.Thread(target=_play, args=arguments, daemon=True).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/whep", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(encode=sys.argv[1] == "encode"))
