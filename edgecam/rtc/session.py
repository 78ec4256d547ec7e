"""One viewer's WebRTC session: negotiate, connect, send until the viewer is gone, clean up in bounded time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import structlog
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from edgecam.errors import EdgecamError
from edgecam.media.feed import Feed
from edgecam.media.pipeline import Pipeline
from edgecam.peers import Candidate, Ended, PeerKey, PeerLink
from edgecam.rtc import aiortc_private, audio, sdp
from edgecam.rtc.allowance import Allowance
from edgecam.rtc.candidates import RemoteCandidates
from edgecam.rtc.feedback import FeedbackReader
from edgecam.rtc.ice import restart
from edgecam.rtc.ice.agent import Agent
from edgecam.rtc.ice.candidate import Candidate as IceCandidate
from edgecam.rtc.ice.diagnosis import Diagnosis, diagnose
from edgecam.rtc.ice.gathering import Gathering
from edgecam.rtc.ice.servers import Server
from edgecam.rtc.latency import LatencyChannel
from edgecam.rtc.localcandidates import LocalCandidates
from edgecam.rtc.negotiation import h264_capabilities, negotiating
from edgecam.rtc.sending.fanout import FanOut
from edgecam.rtc.sending.outlet import VideoOutlet
from edgecam.rtc.viewerreports import ViewerReports

log = structlog.get_logger(__name__)

# BYE, DTLS close and sockets take milliseconds, saying goodbye to a TURN server that has died a second. Nobody waits for that:
# the viewer's place is free already.
CLOSE_TIMEOUT = 10.0  # seconds
ICE_RESTARTS = (0.1, 5.0)  # a second, and at once: a phone on a train changes its network often, but not each second


class ViewerSession:
    """A viewer's peer connection. Its owner calls one of `answer` or `offer`, then keeps `run()` running."""

    def __init__(
        self,
        key: PeerKey,
        pipeline: Pipeline,
        fanout: FanOut,
        gathering: Gathering,
        link: PeerLink | None,
        on_connected: Callable[[ViewerSession], None],
        *,
        publishes: bool = False,
        offers_sound: bool = True,
    ) -> None:
        self.key = key
        self._offers_sound = offers_sound
        self.publishes = publishes  # to a media server, which is no viewer
        self._other = "media server" if publishes else "viewer"
        self.pipeline = pipeline
        self.fanout = fanout
        self.created = time.monotonic()
        self.connected_at: float | None = None
        self.reports = ViewerReports({"viewer": key.shown, "camera": key.camera}, self._other, self.end)
        self.ice_restarts = 0
        self._restarts_allowed = Allowance(*ICE_RESTARTS)
        self._on_connected = on_connected
        self.gathering = gathering
        self.candidates = LocalCandidates(link)
        self.answer_within: float | None = None  # seconds
        self._answered = False
        self._answer_awaited = asyncio.Event()
        self._ended = asyncio.Event()
        self._connected = asyncio.Event()
        self._reason = "closed"
        self._unreachable = False
        self._candidates = RemoteCandidates(key.shown, self._apply_candidate, loopback=publishes)
        self._agents: dict[str | None, Agent] = {}
        self._remote_credentials: dict[str, tuple[str, str]] = {}
        self._remote_described = asyncio.Event()
        self._pc: RTCPeerConnection | None = None
        self.outlet: VideoOutlet | None = None
        self._audio: audio.AudioSection | None = None
        self._closed = False
        self.latency = LatencyChannel(key.shown, self._rtp_clock)

    # negotiation

    async def answer(self, offer_sdp: str, patience: float) -> str:
        """The answer to a viewer's offer, with the candidates that are there within `patience` seconds. Raises NegotiationError."""
        sdp.require_usable(offer_sdp)
        async with negotiating("the offer"):
            pc = self._open(audio.direction_for(offer_sdp, self.pipeline))
            await self._describe_remote(pc, offer_sdp, "offer")
            self.latency.listen(pc)
            self._take_over_ice(pc)
            await self._candidates.apply_waiting()  # a relay must let them in before the viewer's first check is there
            if sdp.leaves_dtls_role(offer_sdp):
                aiortc_private.become_dtls_server(self._sender)
            for transceiver in pc.getTransceivers():
                if transceiver.sender not in self._senders:
                    # A viewer's own camera or microphone: nobody here would consume it.
                    transceiver.direction = "inactive"
            await pc.setLocalDescription(await pc.createAnswer())
        return await self._described(pc, patience)

    async def offer(self, patience: float) -> str:
        """An offer from the camera, otherwise like `answer`."""
        async with negotiating("our own offer"):
            pc = self._open("sendonly" if self._offers_sound and self.pipeline.microphone is not None else None)
            self._take_over_ice(pc)
            await pc.setLocalDescription(await pc.createOffer())
        return await self._described(pc, patience)

    async def accept_answer(self, answer_sdp: str) -> None:
        """The viewer's answer to `offer()`. Raises NegotiationError; a repeated answer is ignored."""
        if self._pc is None or self._pc.signalingState != "have-local-offer":
            return
        sdp.require_usable(answer_sdp)
        async with negotiating("the answer"):
            await self._describe_remote(self._pc, answer_sdp, "answer")
        if self.waits_for_answer:
            self.pipeline.prepare(self)
        self._answered = True
        self._answer_awaited.set()

    @property
    def waits_for_answer(self) -> bool:
        """Whether this is an offer to whom it may concern, and nobody has answered yet."""
        return self.answer_within is not None and not self._answered

    def add_candidate(self, candidate: Candidate | None) -> None:
        """A remote candidate, whenever it comes."""
        self._candidates.add(candidate)

    @property
    def remote_credentials(self) -> tuple[str, str]:
        """The viewer's ICE user name fragment and password; empty before they are known."""
        return next(iter(self._remote_credentials.values()), ("", ""))

    def may_restart_ice(self, now: float) -> bool:
        """Each restart asks every STUN and TURN server again."""
        return self._restarts_allowed.spend(now)

    async def restart_ice(self, username: str, password: str) -> None:
        """The viewer's network has changed: look for a new path with its new credentials. Media goes on meanwhile."""
        self._remote_credentials = dict.fromkeys(self._remote_credentials, (username, password))
        self.ice_restarts += 1
        self._candidates.restarted()
        for agent in set(self._agents.values()):
            await restart.restart(agent, username, password)

    # life

    async def run(self, connect_timeout: float) -> str:
        """Live until the viewer is gone; returns why. `close()` is to follow."""
        async with asyncio.TaskGroup() as group:
            pump = group.create_task(self._apply_candidates(), name=f"candidates {self.key.shown}")
            try:
                if self.waits_for_answer:
                    await self._until_answered()
                async with asyncio.timeout(connect_timeout):
                    await self._connected.wait()
                await self._ended.wait()
            except TimeoutError:
                self._unreachable = True
                self.end("no connection was made in time (ICE or DTLS)")
            pump.cancel()
        return self._reason

    async def _until_answered(self) -> None:
        try:
            async with asyncio.timeout(self.answer_within):
                await self._answer_awaited.wait()
        except TimeoutError:
            self.end("nobody answered the camera's offer")

    async def close(self) -> None:
        """Send BYE and give everything back."""
        if not self._closed:
            stats = await self.transport_stats()
            self.fanout.totals.add(stats, units=self.sent_units, lost=self.reports.lost, dropped=self.dropped_units)
        self._closed = True
        self.reports.close()
        self.end(self._reason)
        self.pipeline.release(self)
        if self._pc is None:
            return
        if self.outlet is not None:
            try:
                if self._audio is not None:
                    self._audio.close()
                self.outlet.close()
            except Exception:  # per-viewer boundary: the connection is to be closed all the same
                log.exception("session.close-failed", viewer=self.key.shown, camera=self.key.camera)
        # What aiortc connects with runs in a task that it has just started: in 1.11, one that begins on a closed
        # connection ends in an error that nobody retrieves.
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._pc.close()
        except TimeoutError:
            log.warning("session.close-slow", viewer=self.key.shown, camera=self.key.camera)
        except Exception as error:  # noqa: BLE001 - per-viewer boundary
            log.warning("session.close-failed", viewer=self.key.shown, camera=self.key.camera, error=repr(error))

    def turn_away(self, error: EdgecamError) -> None:
        """End it, and tell the viewer why in so many words where its signaling has any."""
        self.candidates.turned_away(error)
        self.end(error.message)

    def end(self, reason: str) -> None:
        """Ask `run()` to finish; the first reason counts."""
        if not self._ended.is_set():
            self._reason = reason
        self._answer_awaited.set()
        self._connected.set()
        self._ended.set()

    async def connected(self) -> bool:
        """Wait until it is connected or over; whether it is connected."""
        await self._connected.wait()
        return not self._ended.is_set()

    async def ended(self) -> Ended:
        """Wait until it is over; why."""
        await self._ended.wait()
        diagnosis = self.diagnosis()
        return Ended(self._reason) if diagnosis is None else Ended(diagnosis.sentence, diagnosis.code)

    @property
    def alive(self) -> bool:
        """Connected, with fresh ICE consent."""
        return self._pc is not None and self.connected_at is not None and aiortc_private.has_consent(self._pc)

    def diagnosis(self) -> Diagnosis | None:
        """Why there was no path, or why it is gone; None for a viewer that left by itself."""
        agent = next(iter(self._agents.values()), None)
        if agent is None or not (self._unreachable or agent.lost):
            return None
        found = diagnose(agent, self.gathering.context.health)
        if self.publishes:
            sentence = found.sentence.replace("viewer", self._other)
            return replace(found, sentence=sentence, remedy="the camera is published anew by itself")
        return found

    def add_ice_servers(self, servers: Sequence[Server]) -> None:
        """Ask these STUN and TURN servers too."""
        for agent in set(self._agents.values()):
            agent.local.ask_also(servers)

    def addresses_gone(self, addresses: set[str]) -> None:
        """The machine has lost these addresses."""
        for agent in set(self._agents.values()):
            agent.addresses_gone(addresses)

    @property
    def path(self) -> aiortc_private.SelectedPath | None:
        return aiortc_private.selected_path(self._sender) if self.connected_at is not None else None

    @property
    def _feed(self) -> Feed | None:
        return self.outlet.feed if self.outlet is not None else None

    @property
    def rendition(self) -> int | None:
        """Which of the camera's renditions the viewer is given; None before sending has begun."""
        return self._feed.rendition if self._feed is not None else None

    @property
    def media_path(self) -> str | None:
        return self.outlet.media_path if self.outlet is not None else None

    @property
    def available_bps(self) -> int | None:
        """What the viewer's link carries of video; None while aiortc's own sender serves it."""
        return self.outlet.rate.video_bps if self.outlet is not None and self.outlet.rate is not None else None

    @property
    def queueing_ms(self) -> float | None:
        """How long packets wait somewhere on the way to the viewer."""
        rate = self.outlet.rate if self.outlet is not None else None
        return rate.estimate.queueing_ms if rate is not None else None

    @property
    def dropped_units(self) -> int:
        return self._feed.dropped if self._feed is not None else 0

    @property
    def sent_units(self) -> int:
        return self._feed.delivered if self._feed is not None else 0

    async def transport_stats(self) -> dict[str, Any]:
        """aiortc's sender statistics by type; empty before the session is open."""
        if self._pc is None or self.connected_at is None:
            return {}
        return {stats.type: stats for stats in (await self._sender.getStats()).values()}

    # inside

    def _open(self, sound: str | None) -> RTCPeerConnection:
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        aiortc_private.connect_quietly(pc)
        self._pc = pc
        transceiver = pc.addTransceiver("video", direction="sendonly")
        # Before setRemoteDescription: set later, preferences are ignored and H.264 goes out labelled VP8.
        transceiver.setCodecPreferences(h264_capabilities())
        self._sender = transceiver.sender
        aiortc_private.share_ssrcs(self._sender, self.fanout.ssrc, self.fanout.rtx_ssrc)
        self.outlet = VideoOutlet(self._sender, self.pipeline, self.fanout, self.key.shown, self.end)
        ssrcs = aiortc_private.media_ssrc(self._sender), aiortc_private.rtx_ssrc(self._sender)
        self.reports.begin(FeedbackReader(*ssrcs), self.outlet)
        self._senders = [self._sender]
        if sound is not None:
            self._audio = audio.AudioSection(pc, sound, self.pipeline, self.fanout.sound, self.key.shown)
            self._senders.append(self._audio.sender)
            self.outlet.with_sound = self._audio.sends
        pc.on("connectionstatechange", self._state_changed)
        if not self.waits_for_answer:
            self.pipeline.prepare(self)
        return pc

    async def _describe_remote(self, pc: RTCPeerConnection, text: str, kind: str) -> None:
        bare, candidates = sdp.split_candidates(text)
        await pc.setRemoteDescription(RTCSessionDescription(bare, kind))
        self._remote_credentials = sdp.ice_credentials(text)
        self._tell_agents()
        for candidate in candidates:
            self._candidates.add(candidate)
        self._remote_described.set()

    def _take_over_ice(self, pc: RTCPeerConnection) -> None:
        self._agents = aiortc_private.replace_ice(
            pc, lambda: Agent(self.gathering, self.key.shown, self.candidates.found, self._path_lost)
        )
        self._tell_agents()

    def _tell_agents(self) -> None:
        """aiortc takes the credentials of any section, which is wrong where bundled sections differ in them."""
        for mid, agent in self._agents.items():
            agent.described_remote = self._remote_credentials.get(mid or "")

    async def _described(self, pc: RTCPeerConnection, patience: float) -> str:
        text = str(pc.localDescription.sdp)
        if pc.localDescription.type == "answer":
            sdp.require_sending(text)
        self._take_over_ice(pc)  # by now all sections have their mids
        for transceiver in pc.getTransceivers():
            aiortc_private.receive_nothing(transceiver)
        # Bundling may have moved the sender to another transport, so the tap is laid after negotiation.
        aiortc_private.observe_rtcp(self._sender, self.reports.heard)
        aiortc_private.take_rtcp(self._sender, self.reports.heard)
        if self._audio is not None:
            self._audio.described(text, self._sender)
        self._sender.transport.on("statechange", self._dtls_changed)
        text = sdp.with_profile_level_id(text, self.pipeline.profile_level_id)
        return await self.candidates.describe(text, self._agents, patience)

    def _rtp_clock(self) -> int | None:
        fast = self.outlet.fast if self.outlet is not None else None
        return fast.rtp_time(time.monotonic_ns()) if fast is not None else None

    def _state_changed(self) -> None:
        assert self._pc is not None
        state = self._pc.connectionState
        if state == "connected" and self.connected_at is None:
            self.connected_at = time.monotonic()
            self.reports.connected()
            self._connected.set()
            self._on_connected(self)
        elif state in {"failed", "closed"}:
            self._unreachable |= self.connected_at is None and state == "failed"
            gone = f"the {self._other} is gone (no ICE consent)" if self.connected_at else f"no path to the {self._other} (ICE failed)"
            self.end(gone)

    def _dtls_changed(self) -> None:
        transport = self._sender.transport
        if transport.state == "closed" and transport.transport.state == "completed":
            self.end(f"the {self._other} hung up")

    async def _apply_candidates(self) -> None:
        await self._remote_described.wait()
        await self._candidates.run()

    async def _apply_candidate(self, mid: str | None, candidate: IceCandidate | None) -> None:
        """To the agent of that section; without a section, or when all are bundled, to the only one, or the first."""
        agents = set(self._agents.values())
        if candidate is None:
            for agent in agents:
                await agent.add_remote_candidate(None)
        elif agents:
            agent = self._agents.get(mid) or next(iter(self._agents.values()))
            await agent.add_remote_candidate(candidate)

    def _path_lost(self, code: str) -> None:
        """The agent has closed itself."""
        if code in {"relay-lost", "address-lost"} and self.connected_at is not None:
            self.candidates.path_lost()
