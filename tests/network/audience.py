"""`python -m tests.network.audience URL TOKEN COUNT`: WHEP viewers on aiortc that receive, report and repair, but do not
decode. Prints `ready`; then each line on standard input is answered by JSON: the packets that came since the one before,
and per viewer [RTP timestamp, CLOCK_MONOTONIC ms] of each picture's last packet.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import aiohttp
from aiortc import RTCConfiguration, RTCPeerConnection, rtcrtpreceiver

from tests.bench.receivers import WhepRoom


def _swallow(_loop: Any, input_queue: Any, *_rest: Any) -> None:
    """In the place of aiortc's decoding thread."""
    while input_queue.get() is not None:
        pass


class Member:
    """One viewer."""

    def __init__(self) -> None:
        self.packets = 0
        self.pictures: list[tuple[int, float]] = []
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._connected = asyncio.Event()
        self.pc.on("connectionstatechange", self._changed)

    def _changed(self) -> None:
        if self.pc.connectionState == "connected":
            self._connected.set()

    async def join(self, room: WhepRoom) -> None:
        await room.join(self.pc)
        receiver: Any = self.pc.getTransceivers()[0].receiver
        handle = receiver._handle_rtp_packet

        async def note(packet: Any, *more: Any, **named: Any) -> None:
            self.packets += 1
            if packet.marker:
                self.pictures.append((packet.timestamp, time.monotonic() * 1000))
            await handle(packet, *more, **named)

        receiver._handle_rtp_packet = note
        async with asyncio.timeout(15):
            await self._connected.wait()


async def main(url: str, token: str, count: int) -> None:
    receiving: Any = rtcrtpreceiver
    receiving.decoder_worker = _swallow
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        members = [Member() for _ in range(count)]
        for member in members:
            await member.join(WhepRoom(session, url))
        print("ready", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            told = {"packets": sum(m.packets for m in members), "pictures": [m.pictures for m in members]}
            for member in members:
                member.packets, member.pictures = 0, []
            print(json.dumps(told), flush=True)
        await asyncio.gather(*(member.pc.close() for member in members))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
