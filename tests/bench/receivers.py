"""`python -m tests.bench.receivers URL`: viewers on aiortc in a process of their own, added on demand.

Reads a number per line from standard input, and prints `ready` once that many viewers in all are connected. They do
not decode: two cores could not for eight of them, and what is measured is the sender.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import aiohttp
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, rtcrtpreceiver


def _swallow(_loop: Any, input_queue: Any, *_rest: Any) -> None:
    """In the place of aiortc's decoding thread."""
    while input_queue.get() is not None:
        pass


async def _join(session: aiohttp.ClientSession, url: str) -> RTCPeerConnection:
    """A viewer that is connected."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connected = asyncio.Event()

    def changed() -> None:
        if pc.connectionState == "connected":
            connected.set()

    pc.on("connectionstatechange", changed)
    pc.addTransceiver("video", direction="recvonly")
    await pc.setLocalDescription(await pc.createOffer())
    headers = {"Content-Type": "application/sdp"}
    async with session.post(url, data=pc.localDescription.sdp, headers=headers) as response:
        await pc.setRemoteDescription(RTCSessionDescription(await response.text(), "answer"))
    async with asyncio.timeout(10):
        await connected.wait()
    return pc


async def main(url: str) -> None:
    receiving: Any = rtcrtpreceiver
    receiving.decoder_worker = _swallow
    peers: list[RTCPeerConnection] = []
    async with aiohttp.ClientSession() as session:
        while line := await asyncio.to_thread(sys.stdin.readline):
            while len(peers) < int(line):
                peers.append(await _join(session, url))
            print("ready", flush=True)
        await asyncio.gather(*(pc.close() for pc in peers))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
