"""An aiortc viewer with the ICE of a browser: it offers at once and names its candidates as they come.

aiortc's own waits five seconds for a STUN server that is away before it offers at all, never asks it again, and repeats
checks after 0.5, 1, 2 and 4 seconds. What happens after an outage would be that, and not what the camera does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from aiortc import RTCIceServer, RTCRtpReceiver

from edgecam.rtc import aiortc_private
from edgecam.rtc.ice.agent import Agent
from edgecam.rtc.ice.candidate import Candidate
from edgecam.rtc.ice.gathering import Gathering
from edgecam.rtc.ice.servers import servers_of
from edgecam.settings import IceServer, IceSettings
from tests.peers.viewer import Viewer


class BrowserlikeViewer(Viewer):
    """`found` hears of each candidate after the offer, and of their end (None); `lost` when there is no path, or none any more."""

    def __init__(
        self,
        ice_servers: Sequence[RTCIceServer],
        found: Callable[[Candidate | None], None],
        lost: Callable[[], None],
        *,
        policy: Literal["all", "relay"] = "all",
    ) -> None:
        super().__init__()
        known = [{"urls": s.urls, "username": s.username or "", "credential": s.credential or ""} for s in ice_servers]
        self._ice = IceSettings(policy=policy, servers=tuple(IceServer.model_validate(server) for server in known))
        self._found = found
        self._lost = lost

    async def offer(self, *, h264_only: bool = False) -> str:
        transceiver = self.pc.addTransceiver("video", direction="recvonly")
        if h264_only:
            capabilities: Any = RTCRtpReceiver.getCapabilities("video")
            transceiver.setCodecPreferences([c for c in capabilities.codecs if c.mimeType == "video/H264"])
        gathering = Gathering.alone(self._ice, servers_of(self._ice.servers))
        aiortc_private.replace_ice(self.pc, lambda: Agent(gathering, "viewer", self._found, lambda _code: self._lost()))
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return str(self.pc.localDescription.sdp).replace("a=end-of-candidates\r\n", "")
