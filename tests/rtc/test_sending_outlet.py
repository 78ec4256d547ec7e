"""Which way a viewer is served, and that whatever is not as expected falls back to aiortc's own sender."""

from __future__ import annotations

import asyncio
from typing import Any

import pylibsrtp
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.mediastreams import AudioStreamTrack
from structlog.testing import capture_logs

from edgecam.rtc import aiortc_private
from edgecam.rtc.negotiation import h264_capabilities
from edgecam.rtc.sending import profiles
from edgecam.rtc.sending.outlet import VideoOutlet
from edgecam.rtc.sending.scratch import Scratch
from edgecam.rtc.sending.selftest import Capabilities, self_test
from edgecam.rtc.session import ViewerSession
from tests.peers.viewer import Viewer
from tests.rtc.scene import Scene, scene


async def connect(stage: Scene, viewer: Viewer, name: str = "viewer-1") -> ViewerSession:
    await viewer.accept(await stage.viewers.answer(stage.key(name), await viewer.offer()))
    await viewer.decoded(3)
    return next(session for session in stage.viewers if session.key.peer == name)


def losing(viewer: Viewer, every: int) -> None:
    """Lose one in so many of the datagrams that reach the viewer from now on, except DTLS and STUN."""
    connection: Any = viewer.receiver.transport.transport._connection
    arrived, count = connection.data_received, 0

    def data_received(data: bytes | None, component: int | None) -> None:
        nonlocal count
        media = bool(data) and data[0] >= 128  # type: ignore[index]
        count += media
        if not media or count % every:
            arrived(data, component)

    connection.data_received = data_received


def test_viewers_take_the_fast_path() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            session = await connect(stage, viewer)
            assert session.media_path == "fast"
            await viewer.decoded(20)
            assert session.dropped_units == 0
            stats = await session.transport_stats()
            assert stats["outbound-rtp"].packetsSent >= 20
            assert stats["outbound-rtp"].bytesSent > 2000

    asyncio.run(scenario())


def test_the_round_trip_is_known_after_the_first_reports() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            session = await connect(stage, viewer)
            async with asyncio.timeout(10):
                while True:
                    stats = (await session.transport_stats()).get("remote-inbound-rtp")
                    if stats is not None and stats.roundTripTime is not None:
                        break
                    await viewer.decoded(3)
            assert 0 < stats.roundTripTime < 0.5

    asyncio.run(scenario())


def test_a_machine_that_fails_the_self_test_serves_with_aiortcs_own_sender() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            stage.viewers.fanouts["front"].capabilities = Capabilities(usable=False, gso=False)
            session = await connect(stage, viewer)
            assert session.media_path == "stock"
            await viewer.decoded(20)
            assert (await session.transport_stats())["outbound-rtp"].packetsSent >= 20
            asked = session.reports.keyframe_requests
            await viewer.receiver._send_rtcp_pli(session.fanout.ssrc)
            async with asyncio.timeout(5):
                while session.reports.keyframe_requests == asked:
                    await viewer.decoded(1)

    asyncio.run(scenario())


def test_one_viewer_that_cannot_have_the_fast_path_is_served_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as odd, Viewer() as usual:
            with monkeypatch.context() as patch, capture_logs() as logs:
                patch.setattr(aiortc_private, "_TAG_LENGTHS", {})  # a profile of which nothing is known here
                assert (await connect(stage, odd, "odd")).media_path == "stock"
            assert [entry["log_level"] for entry in logs if entry["event"] == "sending.stock"] == ["warning"]
            assert (await connect(stage, usual, "usual")).media_path == "fast"
            await asyncio.gather(odd.decoded(20), usual.decoded(20))

    asyncio.run(scenario())


def test_a_session_whose_sending_broke_ends_instead_of_staying_dark() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer, Viewer() as other:
            session = await connect(stage, viewer)
            await connect(stage, other, "other")
            assert session.outlet is not None
            assert session.outlet.fast is not None
            empty = pylibsrtp.Session()  # knows no stream, so that it cannot encrypt any
            session.outlet.fast.srtp = aiortc_private.OutboundSrtp(empty, empty._srtp[0], "none", 10)
            await one_left(stage, session)
            await other.decoded(10)

    asyncio.run(scenario())


def test_so_does_one_that_aiortcs_own_sender_serves() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer, Viewer() as other:
            stage.viewers.fanouts["front"].capabilities = Capabilities(usable=False, gso=False)
            session = await connect(stage, viewer)
            await connect(stage, other, "other")
            transport: Any = session._sender.transport
            send = transport._send_rtp

            async def broken(_data: bytes) -> None:
                transport._send_rtp = send
                raise OSError("the network card is on fire")

            transport._send_rtp = broken
            await one_left(stage, session)
            await other.decoded(10)

    asyncio.run(scenario())


async def one_left(stage: Scene, session: ViewerSession) -> None:
    """Wait until the session has ended, and only the other one is there."""
    async with asyncio.timeout(5):
        await session._ended.wait()
        while len(stage.viewers) > 1:  # noqa: ASYNC110 - leaving is not announced
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("usable", [True, False])
def test_lost_packets_are_repaired_without_a_keyframe(usable: bool) -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            stage.viewers.fanouts["front"].capabilities = Capabilities(usable=usable, gso=True)
            session = await connect(stage, viewer)
            losing(viewer, every=10)
            keyframes = stage.pipeline.keyframes
            await viewer.decoded(60)
            assert stage.pipeline.keyframes == keyframes
            if session.outlet is not None and session.outlet.repair is not None:
                assert session.outlet.repair.packets >= 3

    asyncio.run(scenario())


def test_audio_beside_the_camera_still_hears_its_viewer() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            audio = pc.addTrack(AudioStreamTrack())
            video = pc.addTransceiver("video", direction="sendonly")
            video.setCodecPreferences(h264_capabilities())
            ended: list[str] = []
            heard: list[bytes] = []
            outlet = VideoOutlet(video.sender, stage.pipeline, stage.viewers.fanouts["front"], "viewer", ended.append)
            await pc.setLocalDescription(await pc.createOffer())
            answer = await viewer.answer(pc.localDescription.sdp)
            aiortc_private.take_rtcp(video.sender, heard.append)
            await pc.setRemoteDescription(type(pc.localDescription)(answer, "answer"))
            await viewer.decoded(3)
            assert outlet.media_path == "fast"
            async with asyncio.timeout(10):
                while "remote-inbound-rtp" not in {entry.type for entry in (await audio.getStats()).values()}:
                    await viewer.decoded(1)
            assert heard == [], "it goes the long way, which leads to both"
            await pc.close()
            assert ended == []

    asyncio.run(scenario())


def test_the_self_test_passes_here_and_notices_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert self_test().usable
    protect = Scratch.protect

    def otherwise(self: Scratch, context: Any, pointers: list[Any]) -> None:
        protect(self, context, pointers)
        self.view[20] ^= 1

    monkeypatch.setattr(Scratch, "protect", otherwise)
    with capture_logs() as logs:
        assert not self_test().usable
    (entry,) = logs
    assert (entry["event"], entry["log_level"]) == ("sending.fast-path-off", "warning")
    assert "remedy" in entry




def test_encryption_that_is_broken_ends_neither_the_daemon_nor_a_viewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiortc_private, "srtp_protect", lambda *_: 1)
    profiles.by_cost.cache_clear()

    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            session = await connect(stage, viewer)
            assert session.media_path == "stock"

    with capture_logs() as said:
        asyncio.run(scenario())
    assert any(line["log_level"] == "warning" for line in said)


def test_sending_does_not_begin_once_it_was_closed() -> None:
    async def scenario() -> None:
        async with scene() as stage:
            pc = RTCPeerConnection()
            sender = pc.addTransceiver("video", direction="sendonly").sender
            outlet = VideoOutlet(sender, stage.pipeline, stage.viewers.fanouts["front"], "viewer", lambda _: None)
            outlet.close()
            parameters: Any = None
            await sender.send(parameters)
            assert (outlet.media_path, stage.pipeline.subscribers) == (None, 0)
            await pc.close()

    asyncio.run(scenario())
