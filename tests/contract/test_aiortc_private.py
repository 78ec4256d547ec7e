"""The contract with aiortc's and aioice's internals: fails loudly when a version breaks what edgecam relies on.

`make contract` runs this on aiortc 1.11 (Debian 13), 1.15 and the newest.
"""

from __future__ import annotations

import asyncio
import time

import aioice
import pytest
from aiortc import RTCIceServer, RTCPeerConnection
from aiortc.rtp import RTCP_PSFB_APP, RtcpPsfbPacket, pack_remb_fci

from edgecam.rtc import aiortc_private, feedback
from tests.peers.viewer import Viewer
from tests.rtc.scene import Scene, scene


async def connect(stage: Scene, viewer: Viewer) -> None:
    await viewer.accept(await stage.viewers.answer(stage.key(), await viewer.offer()))
    await viewer.decoded(3)


def test_pre_encoded_units_reach_a_viewer_that_offers() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            await connect(stage, viewer)
            (session,) = stage.viewers
            assert session.alive
            assert session.path is not None
            assert session.path.kind == "direct"

    asyncio.run(scenario())


def test_a_viewer_that_answers_is_served_too() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            answer = await viewer.answer(await stage.viewers.offer(stage.key()))
            await stage.viewers.accept_answer(stage.key(), answer)
            await viewer.decoded(3)

    asyncio.run(scenario())


def test_pli_fir_and_remb_are_heard() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            await connect(stage, viewer)
            (session,) = stage.viewers
            receiver, ssrc = viewer.receiver, session._ssrc
            asked = stage.pipeline.keyframe_requests.asked
            await receiver._send_rtcp_pli(ssrc)
            fir = RtcpPsfbPacket(fmt=feedback.FIR, ssrc=1, media_ssrc=0, fci=ssrc.to_bytes(4, "big") + bytes(4))
            await receiver._send_rtcp(fir)
            remb = RtcpPsfbPacket(fmt=RTCP_PSFB_APP, ssrc=1, media_ssrc=0, fci=pack_remb_fci(640_000, [ssrc]))
            await receiver._send_rtcp(remb)
            await viewer.decoded(10)
            assert session.keyframe_requests >= 2
            assert stage.pipeline.keyframe_requests.asked >= asked + 2
            assert session.bandwidth_bps is not None

    asyncio.run(scenario())


def test_a_vanished_viewer_is_reaped_within_ten_seconds() -> None:
    async def scenario() -> float:
        async with scene() as stage, Viewer() as viewer:
            await connect(stage, viewer)
            (session,) = stage.viewers
            for transceiver in viewer.pc.getTransceivers():  # as if the cable were cut: no close, no BYE
                connection = transceiver.receiver.transport.transport._connection
                for protocol in connection._protocols:
                    protocol.transport.abort()
            cut = time.monotonic()
            async with asyncio.timeout(12):
                await session._ended.wait()
            return time.monotonic() - cut

    assert asyncio.run(scenario()) <= 10


def test_a_viewer_without_any_candidate_is_found_by_its_own_checks() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            offer = await viewer.offer()
            bare = "".join(
                line for line in offer.splitlines(keepends=True) if not line.startswith(("a=candidate", "a=end-of-cand"))
            )
            await viewer.accept(await stage.viewers.answer(stage.key(), bare))
            await viewer.decoded(3)

    asyncio.run(scenario())


@pytest.mark.parametrize("audio", [False, True])
def test_dtls_begins_before_aioice_has_slept_out_its_interval(audio: bool) -> None:
    async def early() -> bool:
        async with scene() as stage, Viewer() as viewer:
            if audio:  # bundled: the sender moves to another transport during negotiation
                viewer.pc.addTransceiver("video", direction="recvonly")
                viewer.pc.addTransceiver("audio", direction="recvonly")
                await viewer.pc.setLocalDescription(await viewer.pc.createOffer())
                offer = str(viewer.pc.localDescription.sdp)
            else:
                offer = await viewer.offer()
            answer = await stage.viewers.answer(stage.key(), offer)
            (session,) = stage.viewers
            connection = session._sender.transport.transport._connection
            asking: list[bool] = []

            def changed() -> None:
                if session._pc is not None and session._pc.iceConnectionState == "completed":
                    asking.append(connection._query_consent_task is not None)

            assert session._pc is not None
            session._pc.on("iceconnectionstatechange", changed)
            await viewer.accept(answer)
            await viewer.decoded(3)
            async with asyncio.timeout(5):
                while connection._query_consent_task is None:  # noqa: ASYNC110 - nothing to wait for
                    await asyncio.sleep(0.01)
            return asking == [False]

    # A nomination that falls on the end of an interval proves nothing; that is rare.
    assert any(asyncio.run(early()) for _ in range(3))


def test_relay_only_gathers_nothing_else() -> None:
    async def scenario() -> str:
        pc = RTCPeerConnection(aiortc_private.configuration([], relay_only=True))
        pc.addTransceiver("video")
        pc.addTransceiver("audio")
        aiortc_private.enforce_relay(pc)
        await pc.setLocalDescription(await pc.createOffer())
        description = str(pc.localDescription.sdp)
        await pc.close()
        return description

    assert "a=candidate" not in asyncio.run(scenario())


def test_consent_constants_are_where_they_are_expected() -> None:
    assert isinstance(aioice.ice.CONSENT_INTERVAL, int)
    assert isinstance(aioice.ice.CONSENT_FAILURES, int)
    aiortc_private.hasten_consent()
    assert aioice.ice.CONSENT_INTERVAL == aiortc_private.CONSENT_INTERVAL


@pytest.mark.parametrize("relay_only", [False, True])
def test_no_stun_server_is_used_that_nobody_asked_for(relay_only: bool) -> None:
    async def scenario() -> None:
        pc = RTCPeerConnection(aiortc_private.configuration([], relay_only=relay_only))
        transceiver = pc.addTransceiver("video")
        connection = transceiver.sender.transport.transport._connection
        assert connection.stun_server is None
        assert connection.turn_server is None
        await pc.close()

    asyncio.run(scenario())
    assert RTCIceServer(urls=["stun:127.0.0.1"]).username is None
