"""One viewer's WebRTC session: negotiate, connect, send until the viewer is gone, clean up in bounded time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import structlog
from aiortc import RTCIceCandidate, RTCIceServer, RTCPeerConnection, RTCRtpSender, RTCSessionDescription

from edgecam.errors import NegotiationError
from edgecam.media.broadcaster import Subscription
from edgecam.media.pipeline import Pipeline
from edgecam.peers import Candidate, PeerKey
from edgecam.rtc import aiortc_private, candidates, feedback, sdp
from edgecam.rtc.track import CameraTrack
from edgecam.settings import IceServer, IceSettings

log = structlog.get_logger(__name__)

CLOSE_TIMEOUT = 2.0  # seconds that BYE, DTLS close and socket close may take together
NEGOTIATE_TIMEOUT = 12.0  # seconds; gathering waits 5 s for a silent STUN or TURN server


class ViewerSession:
    """A viewer's peer connection. Its owner calls one of `answer` or `offer`, then keeps `run()` running."""

    def __init__(self, key: PeerKey, pipeline: Pipeline, ice: IceSettings, ice_servers: Sequence[IceServer]) -> None:
        self.key = key
        self.pipeline = pipeline
        self.created = time.monotonic()
        self.connected_at: float | None = None
        self.bandwidth_bps: int | None = None
        self.fraction_lost = 0.0
        self.lost = 0
        self.jitter_ms: float | None = None
        self.keyframe_requests = 0
        self._relay_only = ice.policy == "relay"
        self._servers = [
            RTCIceServer(urls=list(s.urls), username=s.username or None, credential=s.credential.get_secret_value() or None)
            for s in ice_servers
        ]
        # aiortc uses the first one and no other.
        self.turn_url = next((url for s in ice_servers for url in s.urls if url.startswith("turn")), None)
        self._ended = asyncio.Event()
        self._connected = asyncio.Event()
        self._reason = "closed"
        self._candidates: asyncio.Queue[Candidate | None] = asyncio.Queue(candidates.MAX_CANDIDATES)
        self._remote_described = asyncio.Event()
        self._pc: RTCPeerConnection | None = None
        self._track: CameraTrack | None = None

    # negotiation

    async def answer(self, offer_sdp: str) -> str:
        """The complete answer to a viewer's offer. Raises NegotiationError."""
        sdp.require_h264(offer_sdp)
        sdp.require_transport(offer_sdp)
        pc = self._open()
        async with _negotiation("offer"):
            await pc.setRemoteDescription(RTCSessionDescription(offer_sdp, "offer"))
            self._remote_described.set()
            aiortc_private.hasten_connect(self._sender)
            for transceiver in pc.getTransceivers():
                if transceiver.sender is not self._sender:
                    # A viewer's own camera or microphone: nobody here would consume it.
                    transceiver.direction = "inactive"
            await pc.setLocalDescription(await pc.createAnswer())
        return self._described()

    async def offer(self) -> str:
        """A complete offer from the camera."""
        pc = self._open()
        aiortc_private.hasten_connect(self._sender)
        async with _negotiation("our own offer"):
            await pc.setLocalDescription(await pc.createOffer())
        return self._described()

    async def accept_answer(self, answer_sdp: str) -> None:
        """The viewer's answer to `offer()`. Raises NegotiationError; a repeated answer is ignored."""
        if self._pc is None or self._pc.signalingState != "have-local-offer":
            return
        sdp.require_h264(answer_sdp)
        sdp.require_transport(answer_sdp)
        async with _negotiation("answer"):
            await self._pc.setRemoteDescription(RTCSessionDescription(answer_sdp, "answer"))
        self._remote_described.set()

    def add_candidate(self, candidate: Candidate | None) -> None:
        """Queue a remote candidate; more than MAX_CANDIDATES are dropped."""
        try:
            self._candidates.put_nowait(candidate)
        except asyncio.QueueFull:
            log.debug("candidate.dropped", peer=self.key.peer)

    # life

    async def run(self, connect_timeout: float) -> str:
        """Live until the viewer is gone; returns why. Cancelling closes the session with BYE."""
        try:
            async with asyncio.TaskGroup() as group:
                pump = group.create_task(self._apply_candidates(group), name=f"candidates {self.key.peer}")
                try:
                    async with asyncio.timeout(connect_timeout):
                        await self._connected.wait()
                    await self._ended.wait()
                except TimeoutError:
                    self._reason = "no connection was made in time (ICE or DTLS)"
                pump.cancel()
        finally:
            await self._close()
        return self._reason

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
        pc = RTCPeerConnection(aiortc_private.configuration(self._servers, relay_only=self._relay_only))
        self._pc = pc
        self._track = CameraTrack(self.pipeline)
        transceiver = pc.addTransceiver(self._track, direction="sendonly")
        # Before setRemoteDescription: set later, preferences are ignored and H.264 goes out labelled VP8.
        transceiver.setCodecPreferences(_h264_capabilities())
        self._sender = transceiver.sender
        if self._relay_only:
            aiortc_private.enforce_relay(self._sender)
        self._ssrc = aiortc_private.media_ssrc(self._sender)
        pc.on("connectionstatechange", self._state_changed)
        self.pipeline.prepare()
        return pc

    def _described(self) -> str:
        assert self._pc is not None
        text = str(self._pc.localDescription.sdp)
        if self._pc.localDescription.type == "answer":
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
        elif state in {"failed", "closed"}:
            self.end("the viewer is gone (no ICE consent)" if self.connected_at else "no path to the viewer (ICE failed)")

    def _dtls_changed(self) -> None:
        transport = self._sender.transport
        if transport.state == "closed" and transport.transport.state == "completed":
            self.end("the viewer hung up")

    def _heard(self, data: bytes) -> None:
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

    async def _apply_candidates(self, group: asyncio.TaskGroup) -> None:
        await self._remote_described.wait()
        while True:
            candidate = await self._candidates.get()
            if candidate is None:
                # Not passed on: with none left aiortc would fail at once, while the viewer's own checks may still
                # reveal its address (peer-reflexive). Our connect timeout bounds the wait.
                continue
            parsed = candidates.parse(candidate)
            if parsed is None:
                log.debug("candidate.ignored", peer=self.key.peer, candidate=candidate.candidate[:80])
            elif candidates.is_mdns(parsed):
                group.create_task(self._apply(parsed), name=f"mdns {self.key.peer}")  # resolving can take a second
            else:
                await self._apply(parsed)

    async def _apply(self, candidate: RTCIceCandidate) -> None:
        assert self._pc is not None
        try:
            await self._pc.addIceCandidate(candidate)
        except Exception as error:  # noqa: BLE001 - per-viewer boundary: a peer's candidate must not end its session
            log.debug("candidate.refused", peer=self.key.peer, error=repr(error))

    async def _close(self) -> None:
        if self._track is not None:
            self._track.stop()
        if self._pc is None:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._pc.close()
        except TimeoutError:
            log.warning("session.close-slow", peer=self.key.peer, camera=self.key.camera)
        except Exception as error:  # noqa: BLE001 - per-viewer boundary
            log.warning("session.close-failed", peer=self.key.peer, camera=self.key.camera, error=repr(error))


class _negotiation:  # noqa: N801 - reads as a statement
    """Bounds a negotiation step in time and turns whatever a peer's SDP breaks inside aiortc into one clear error."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._timeout = asyncio.timeout(NEGOTIATE_TIMEOUT)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as late:
            raise NegotiationError(f"negotiating {self._what} took too long", code="sdp-timeout") from late
        if isinstance(error, Exception) and not isinstance(error, NegotiationError):
            log.debug("sdp.refused", what=self._what, error=repr(error))
            raise NegotiationError(f"the {self._what} cannot be used ({type(error).__name__}: {error})") from error


def _h264_capabilities() -> list[Any]:
    """aiortc's H.264 capabilities and RTX, constrained baseline first: it is what every browser decodes."""
    capabilities = RTCRtpSender.getCapabilities("video").codecs
    h264 = [c for c in capabilities if c.mimeType == "video/H264"]
    h264.sort(key=lambda c: not str(c.parameters.get("profile-level-id", "")).lower().startswith("42e0"))
    return h264 + [c for c in capabilities if c.mimeType == "video/rtx"]
