"""One viewer's WebRTC session: negotiate, connect, send until the viewer is gone, clean up in bounded time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from aiortc import RTCIceCandidate, RTCPeerConnection, RTCSessionDescription

from edgecam.media.broadcaster import Subscription
from edgecam.media.pipeline import Pipeline
from edgecam.peers import Candidate, PeerKey
from edgecam.rtc import aiortc_private, feedback, sdp
from edgecam.rtc.candidates import RemoteCandidates
from edgecam.rtc.negotiation import h264_capabilities, negotiating, rtc_ice_servers
from edgecam.rtc.retransmission import RetransmissionBudget
from edgecam.rtc.track import CameraTrack
from edgecam.settings import IceServer, IceSettings

log = structlog.get_logger(__name__)

# BYE, DTLS close and sockets take milliseconds, but a TURN server that has died is asked for half a minute to forget
# the allocation. Nobody waits for that: the viewer's place is free already.
CLOSE_TIMEOUT = 60.0  # seconds


class ViewerSession:
    """A viewer's peer connection. Its owner calls one of `answer` or `offer`, then keeps `run()` running."""

    def __init__(
        self,
        key: PeerKey,
        pipeline: Pipeline,
        ice: IceSettings,
        ice_servers: Sequence[IceServer],
        on_connected: Callable[[ViewerSession], None],
    ) -> None:
        self.key = key
        self.pipeline = pipeline
        self.created = time.monotonic()
        self.connected_at: float | None = None
        self.bandwidth_bps: int | None = None
        self.fraction_lost = 0.0
        self.lost = 0
        self.jitter_ms: float | None = None
        self.keyframe_requests = 0
        self._on_connected = on_connected
        self._relay_only = ice.policy == "relay"
        self._ice_servers = ice_servers
        # aiortc uses the first one and no other.
        self.turn_url = next((url for s in ice_servers for url in s.urls if url.startswith("turn")), None)
        self._ended = asyncio.Event()
        self._connected = asyncio.Event()
        self._reason = "closed"
        self._candidates = RemoteCandidates(key.shown, self._apply_candidate)
        self._remote_described = asyncio.Event()
        self._retransmissions = RetransmissionBudget()
        self._pc: RTCPeerConnection | None = None
        self._track: CameraTrack | None = None

    # negotiation

    async def answer(self, offer_sdp: str) -> str:
        """The complete answer to a viewer's offer. Raises NegotiationError."""
        sdp.require_usable(offer_sdp)
        async with negotiating("the offer"):
            pc = self._open()
            await self._describe_remote(pc, offer_sdp, "offer")
            if self._relay_only:
                aiortc_private.enforce_relay(pc)
            aiortc_private.hasten_connect(self._sender)
            for transceiver in pc.getTransceivers():
                if transceiver.sender is not self._sender:
                    # A viewer's own camera or microphone: nobody here would consume it.
                    transceiver.direction = "inactive"
            await pc.setLocalDescription(await pc.createAnswer())
        return self._described(pc)

    async def offer(self) -> str:
        """A complete offer from the camera."""
        async with negotiating("our own offer"):
            pc = self._open()
            if self._relay_only:
                aiortc_private.enforce_relay(pc)
            aiortc_private.hasten_connect(self._sender)
            await pc.setLocalDescription(await pc.createOffer())
        return self._described(pc)

    async def accept_answer(self, answer_sdp: str) -> None:
        """The viewer's answer to `offer()`. Raises NegotiationError; a repeated answer is ignored."""
        if self._pc is None or self._pc.signalingState != "have-local-offer":
            return
        sdp.require_usable(answer_sdp)
        async with negotiating("the answer"):
            await self._describe_remote(self._pc, answer_sdp, "answer")

    def add_candidate(self, candidate: Candidate | None) -> None:
        """A remote candidate, whenever it comes."""
        self._candidates.add(candidate)

    # life

    async def run(self, connect_timeout: float) -> str:
        """Live until the viewer is gone; returns why. `close()` is to follow."""
        async with asyncio.TaskGroup() as group:
            pump = group.create_task(self._apply_candidates(), name=f"candidates {self.key.shown}")
            try:
                async with asyncio.timeout(connect_timeout):
                    await self._connected.wait()
                await self._ended.wait()
            except TimeoutError:
                self._reason = "no connection was made in time (ICE or DTLS)"
            pump.cancel()
        return self._reason

    async def close(self) -> None:
        """Send BYE and give everything back."""
        if self._track is not None:
            self._track.stop()
        if self._pc is None:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._pc.close()
        except TimeoutError:
            log.warning("session.close-slow", viewer=self.key.shown, camera=self.key.camera)
        except Exception as error:  # noqa: BLE001 - per-viewer boundary
            log.warning("session.close-failed", viewer=self.key.shown, camera=self.key.camera, error=repr(error))

    def end(self, reason: str) -> None:
        """Ask `run()` to finish; the first reason counts."""
        if not self._ended.is_set():
            self._reason = reason
        self._connected.set()
        self._ended.set()

    @property
    def alive(self) -> bool:
        """Connected, with fresh ICE consent."""
        return self._pc is not None and self.connected_at is not None and aiortc_private.has_consent(self._pc)

    @property
    def path(self) -> aiortc_private.SelectedPath | None:
        return aiortc_private.selected_path(self._sender) if self.connected_at is not None else None

    @property
    def _subscription(self) -> Subscription | None:
        return self._track.subscription if self._track is not None else None

    @property
    def dropped_units(self) -> int:
        return self._subscription.dropped if self._subscription is not None else 0

    @property
    def sent_units(self) -> int:
        return self._subscription.delivered if self._subscription is not None else 0

    async def transport_stats(self) -> dict[str, Any]:
        """aiortc's sender statistics by type; empty before the session is open."""
        if self._pc is None or self.connected_at is None:
            return {}
        return {stats.type: stats for stats in (await self._sender.getStats()).values()}

    # inside

    def _open(self) -> RTCPeerConnection:
        servers = rtc_ice_servers(self._ice_servers)
        pc = RTCPeerConnection(aiortc_private.configuration(servers, relay_only=self._relay_only))
        self._pc = pc
        self._track = CameraTrack(self.pipeline)
        # aiortc's sending task stops the track when it ends, whatever ended it, and tells nobody else.
        self._track.on("ended", lambda: self.end("sending to the viewer ended"))
        transceiver = pc.addTransceiver(self._track, direction="sendonly")
        # Before setRemoteDescription: set later, preferences are ignored and H.264 goes out labelled VP8.
        transceiver.setCodecPreferences(h264_capabilities())
        self._sender = transceiver.sender
        self._ssrc = aiortc_private.media_ssrc(self._sender)
        pc.on("connectionstatechange", self._state_changed)
        self.pipeline.prepare()
        return pc

    async def _describe_remote(self, pc: RTCPeerConnection, text: str, kind: str) -> None:
        bare, candidates = sdp.split_candidates(text)
        await pc.setRemoteDescription(RTCSessionDescription(bare, kind))
        for candidate in candidates:
            self._candidates.add(candidate)
        self._remote_described.set()

    def _described(self, pc: RTCPeerConnection) -> str:
        text = str(pc.localDescription.sdp)
        if pc.localDescription.type == "answer":
            sdp.require_sending(text)
        # Bundling may have moved the sender to another transport, so the tap is laid after negotiation.
        aiortc_private.observe_rtcp(self._sender, self._heard)
        self._sender.transport.on("statechange", self._dtls_changed)
        return sdp.with_profile_level_id(text, self.pipeline.profile_level_id)

    def _state_changed(self) -> None:
        assert self._pc is not None
        state = self._pc.connectionState
        if state == "connected" and self.connected_at is None:
            self.connected_at = time.monotonic()
            self._connected.set()
            self._on_connected(self)
        elif state in {"failed", "closed"}:
            self.end("the viewer is gone (no ICE consent)" if self.connected_at else "no path to the viewer (ICE failed)")

    def _dtls_changed(self) -> None:
        transport = self._sender.transport
        if transport.state == "closed" and transport.transport.state == "completed":
            self.end("the viewer hung up")

    def _heard(self, data: bytes) -> bool:
        """Take what concerns the stream as a whole; returns whether aiortc may act on the compound too."""
        allowed = True
        for item in feedback.parse(data, self._ssrc):
            match item:
                case feedback.KeyframeWanted():
                    self.keyframe_requests += 1
                    self.pipeline.request_keyframe()
                case feedback.Bandwidth(bps):
                    self.bandwidth_bps = bps
                    if self._track is not None:
                        self.pipeline.bandwidth(self._track, bps)
                case feedback.Reception(fraction_lost, lost, jitter):
                    self.fraction_lost, self.lost, self.jitter_ms = fraction_lost, lost, jitter / 90
                case feedback.Lost(packets):
                    allowed = self._retransmissions.spend(packets, time.monotonic()) and allowed
        return allowed

    async def _apply_candidates(self) -> None:
        await self._remote_described.wait()
        await self._candidates.run()

    async def _apply_candidate(self, candidate: RTCIceCandidate) -> None:
        assert self._pc is not None
        await self._pc.addIceCandidate(candidate)
