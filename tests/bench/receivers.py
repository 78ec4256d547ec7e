"""`python -m tests.bench.receivers KIND URL [--markers]`: viewers on aiortc in a process of their own, added on demand.

Each makes a real ICE and DTLS handshake, answers consent checks and sends a receiver report with REMB once a second; its media
the kernel throws away (drain.py). Lines on standard input: a number of viewers in all, answered by `ready`; `packets`, answered
by how many the kernel has thrown away; `profile`, answered by the SRTP profile that was negotiated; `address`, answered by that
which the media of the first comes to; and with `--markers`, which lets the last packet of each picture through, `arrivals`,
answered by JSON: per viewer [rtp timestamp, CLOCK_MONOTONIC ns] since it was last asked.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from aiortc.rtp import RtcpPsfbPacket, RtcpRrPacket, pack_remb_fci

from tests.bench import drain
from tests.bench.janus_client import JanusRoom

BANDWIDTH = 4_000_000  # bit/s in every REMB: twice what is needed, so that nobody throttles or probes
REPORT_INTERVAL = 1.0  # seconds
JOIN_WITHIN = 20.0  # seconds
SO_TIMESTAMPNS = 35


async def _ignore(_packet: Any, arrival_time_ms: int) -> None:
    """What comes before the kernel is told to drop it. aiortc would report for ever that nothing came after it, and senders
    would take that for a congestion."""


class Receiver:
    """One viewer: connected after `join`, then left to the kernel."""

    def __init__(self) -> None:
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.arrivals: list[tuple[int, int]] = []
        self._connected = asyncio.Event()
        self._reports: asyncio.Task[None] | None = None
        self.pc.on("connectionstatechange", self._changed)

    def _changed(self) -> None:
        if self.pc.connectionState == "connected":
            self._connected.set()

    async def join(self, room: Any, *, markers: bool) -> None:
        """Connect, and have the kernel drop the media."""
        await room.join(self.pc)
        for transceiver in self.pc.getTransceivers():
            receiver: Any = transceiver.receiver
            receiver._handle_rtp_packet = _ignore
        async with asyncio.timeout(JOIN_WITHIN):
            await self._connected.wait()
        dtls: Any = self.pc.getTransceivers()[0].receiver.transport
        protocol = dtls.transport._connection._nominated[1].protocol
        transport_socket = protocol.transport.get_extra_info("socket")
        self.socket: socket.socket = transport_socket.dup()
        drain.drop_media(self.socket, markers=markers)
        if markers:
            loop: Any = asyncio.get_running_loop()
            loop._remove_reader(transport_socket.fileno())  # before Python 3.11.4, datagram transports cannot be paused
            self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            self._begin_reading(protocol)
        self._reports = asyncio.create_task(self._report(dtls), name="reports")

    async def _report(self, dtls: Any) -> None:
        sources = _video_ssrcs(self.pc.remoteDescription.sdp)
        own = 1
        while True:
            # Without a report block: what never left the kernel cannot be reported on, and a sender believes reports.
            report = RtcpRrPacket(ssrc=own, reports=[])
            remb = RtcpPsfbPacket(fmt=15, ssrc=own, media_ssrc=0, fci=pack_remb_fci(BANDWIDTH, sources))
            await dtls._send_rtp(bytes(report) + bytes(remb))
            await asyncio.sleep(REPORT_INTERVAL)

    def _begin_reading(self, protocol: Any) -> None:
        """Read here instead of asyncio's transport, for the kernel's timestamps; what is not media is passed on."""
        loop = asyncio.get_running_loop()

        def read() -> None:
            while True:
                try:
                    data, ancillary, _flags, address = self.socket.recvmsg(2048, 64, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    return
                if 127 < data[0] < 192 and data[1] >= 224:
                    seconds, nanoseconds = struct.unpack("=qq", ancillary[0][2][:16])
                    arrived = seconds * 1_000_000_000 + nanoseconds - REALTIME_AHEAD_NS
                    self.arrivals.append((struct.unpack_from("!I", data, 4)[0], arrived))
                else:
                    protocol.datagram_received(data, address)

        loop.add_reader(self.socket.fileno(), read)

    async def leave(self) -> None:
        if self._reports is not None:
            self._reports.cancel()
        await self.pc.close()


REALTIME_AHEAD_NS = time.time_ns() - time.monotonic_ns()  # the kernel stamps arrivals with CLOCK_REALTIME


def _video_ssrcs(sdp: str) -> list[int]:
    found: list[int] = []
    for line in sdp.splitlines():
        if line.startswith("a=ssrc:") and (ssrc := int(line[7:].split()[0])) not in found:
            found.append(ssrc)
    return found


class WhepRoom:
    """Where WHEP viewers join."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def join(self, pc: RTCPeerConnection) -> None:
        transceiver = pc.addTransceiver("video", direction="recvonly")
        capabilities: Any = RTCRtpReceiver.getCapabilities("video")
        h264 = [codec for codec in capabilities.codecs if codec.mimeType == "video/H264"]
        transceiver.setCodecPreferences(h264)
        await pc.setLocalDescription(await pc.createOffer())
        headers = {"Content-Type": "application/sdp"}
        async with self._session.post(self._url, data=pc.localDescription.sdp, headers=headers) as response:
            answer = await response.text()
        if response.status != 201:
            raise RuntimeError(f"{self._url} answered {response.status}: {answer}")
        await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))


@asynccontextmanager
async def _room(kind: str, url: str) -> AsyncIterator[Any]:
    async with aiohttp.ClientSession() as session:
        if kind == "whep":
            yield WhepRoom(session, url)
        else:
            async with JanusRoom.entered(session, url) as room:
                yield room


async def main(kind: str, url: str, *, markers: bool) -> None:
    receivers: list[Receiver] = []
    lines: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def listen() -> None:
        for line in iter(sys.stdin.readline, ""):
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, "")

    threading.Thread(target=listen, daemon=True).start()
    async with _room(kind, url) as room:
        while line := await lines.get():
            print(await _obey(line.strip(), receivers, room, markers), flush=True)
        await asyncio.gather(*(receiver.leave() for receiver in receivers))


async def _obey(order: str, receivers: list[Receiver], room: Any, markers: bool) -> str:
    if order == "packets":
        return str(sum(drain.dropped(receiver.socket) for receiver in receivers))
    if order == "profile":
        dtls: Any = receivers[0].pc.getTransceivers()[0].receiver.transport
        return str(dtls._ssl.get_selected_srtp_profile().decode())
    if order == "address":
        return str(receivers[0].socket.getsockname()[0])
    if order == "arrivals":
        told = json.dumps([receiver.arrivals for receiver in receivers])
        for receiver in receivers:
            receiver.arrivals = []
        return told
    while len(receivers) < int(order):
        receiver = Receiver()
        await receiver.join(room, markers=markers)
        receivers.append(receiver)
    return "ready"


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], markers="--markers" in sys.argv))
