"""A viewer on aiortc: takes what the camera sends, decodes it, and talks RTCP back."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription


class Viewer:
    """An aiortc peer connection that receives video. Use as an async context manager."""

    def __init__(self, ice_servers: list[RTCIceServer] | None = None) -> None:
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=ice_servers or []))
        self.frames = 0
        self.width = 0  # of the last picture, in pixels
        self._arrived = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []
        self.pc.on("track", self._on_track)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.pc.close()

    async def offer(self, *, h264_only: bool = False) -> str:
        transceiver = self.pc.addTransceiver("video", direction="recvonly")
        if h264_only:
            capabilities: Any = RTCRtpReceiver.getCapabilities("video")
            codecs = capabilities.codecs
            transceiver.setCodecPreferences([c for c in codecs if c.mimeType == "video/H264"])
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return str(self.pc.localDescription.sdp)

    async def accept(self, answer: str) -> None:
        await self.pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def answer(self, offer: str) -> str:
        await self.pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await self.pc.setLocalDescription(await self.pc.createAnswer())
        return str(self.pc.localDescription.sdp)

    async def decoded(self, more: int, within: float = 10.0) -> None:
        """Wait until `more` further frames have been decoded."""
        goal = self.frames + more
        async with asyncio.timeout(within):
            async with self._arrived:
                await self._arrived.wait_for(lambda: self.frames >= goal)

    @property
    def receiver(self) -> Any:
        return self.pc.getTransceivers()[0].receiver

    def _on_track(self, track: Any) -> None:
        self._tasks.append(asyncio.create_task(self._decode(track), name="viewer decode"))

    async def _decode(self, track: Any) -> None:
        while True:
            frame = await track.recv()
            self.width = frame.width
            async with self._arrived:
                self.frames += 1
                self._arrived.notify_all()
