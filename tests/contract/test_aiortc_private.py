"""The contract with aiortc's internals: fails loudly when a version breaks what edgecam relies on.

`make contract` runs this on aiortc 1.11 (Debian 13), 1.15 and the newest.
"""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

import pytest
from aiortc import InvalidStateError, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtp import RTCP_PSFB_APP, RtcpPsfbPacket, pack_remb_fci

from edgecam.rtc import aiortc_private, feedback
from edgecam.rtc.sending.selftest import Capabilities, self_test
from tests.peers.viewer import Viewer
from tests.peers.wire import send_rtcp
from tests.rtc.rtcp import pli
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
            receiver, ssrc = viewer.receiver, session.fanout.ssrc
            asked = stage.pipeline.keyframe_requests.asked
            await receiver._send_rtcp_pli(ssrc)
            fir = RtcpPsfbPacket(fmt=feedback.FIR, ssrc=1, media_ssrc=0, fci=ssrc.to_bytes(4, "big") + bytes(4))
            await receiver._send_rtcp(fir)
            remb = RtcpPsfbPacket(fmt=RTCP_PSFB_APP, ssrc=1, media_ssrc=0, fci=pack_remb_fci(640_000, [ssrc]))
            await receiver._send_rtcp(remb)
            await viewer.decoded(10)
            assert session.reports.keyframe_requests >= 2
            assert stage.pipeline.keyframe_requests.asked >= asked + 2
            assert session.reports.bandwidth_bps is not None

    asyncio.run(scenario())


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


def test_all_viewers_of_a_camera_are_announced_and_sent_the_same_ssrcs() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as one, Viewer() as other:
            await connect(stage, one)
            await other.accept(await stage.viewers.answer(stage.key("other"), await other.offer()))
            await other.decoded(3)
            fanouts = {id(session.fanout): session.fanout for session in stage.viewers}
            (fanout,) = fanouts.values()
            for viewer in (one, other):
                announced = viewer.pc.remoteDescription.sdp
                assert f"a=ssrc-group:FID {fanout.ssrc} {fanout.rtx_ssrc}" in announced
                assert set(viewer.receiver._RTCRtpReceiver__remote_streams) <= {fanout.ssrc, fanout.rtx_ssrc}

    asyncio.run(scenario())


def test_reports_are_heard_without_waking_aiortcs_receiving_task() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            await connect(stage, viewer)
            (session,) = stage.viewers
            transport: Any = session._sender.transport
            queued: list[bytes] = []
            forward = transport._handle_rtcp_data

            async def handle(data: bytes) -> None:
                queued.append(data)
                await forward(data)

            transport._handle_rtcp_data = handle
            async with asyncio.timeout(5):
                while session.reports.jitter_ms is None:
                    await viewer.decoded(1)
            assert queued == []

    asyncio.run(scenario())


class Decrypting:
    """An inbound SRTP session that counts what it decrypts."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.compounds = 0

    def unprotect_rtcp(self, data: bytes) -> bytes:
        self.compounds += 1
        return bytes(self.session.unprotect_rtcp(data))


@pytest.mark.parametrize("fast", [True, False], ids=["our sender", "aiortc's sender"])
def test_of_a_flood_of_rtcp_most_is_not_even_decrypted(fast: bool) -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            stage.viewers.fanouts["front"].capabilities = Capabilities(usable=fast, gso=fast)
            await connect(stage, viewer)
            (session,) = stage.viewers
            transport: Any = session._sender.transport
            counting = transport._rx_srtp = Decrypting(transport._rx_srtp)
            begun = time.monotonic()
            for _ in range(300):
                for _ in range(10):
                    await send_rtcp(viewer, pli(session.fanout.ssrc))
                await asyncio.sleep(0.001)
            await viewer.decoded(3)
            most = aiortc_private.RTCP_BURST + aiortc_private.RTCP_PER_SECOND * (time.monotonic() - begun)
            assert aiortc_private.RTCP_BURST / 2 <= counting.compounds <= most + 1
            assert most < 2000, "or it was no flood"
            asked = session.reports.keyframe_requests
            assert asked <= counting.compounds
            await asyncio.sleep(0.1)
            await send_rtcp(viewer, pli(session.fanout.ssrc))
            await viewer.decoded(3)
            assert session.reports.keyframe_requests > asked, "it is listened to again"
            assert session.alive

    asyncio.run(scenario())


def test_what_goes_wrong_in_reading_rtcp_is_not_hidden_and_what_is_forged_is_passed_over() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            await connect(stage, viewer)
            (session,) = stage.viewers
            sender = session._sender

            def observer(_data: bytes) -> None:
                raise ValueError("a defect")

            aiortc_private.take_rtcp(sender, observer)
            transport: Any = sender.transport
            arrive = transport.transport._connection.data_received
            arrive(b"\x80\xc9" + bytes(40), 1)  # forged
            authentic = viewer.receiver.transport._tx_srtp.protect_rtcp(pli(session.fanout.ssrc))
            with pytest.raises(ValueError, match="a defect"):
                arrive(authentic, 1)

    asyncio.run(scenario())


def test_the_profile_that_is_wanted_most_is_negotiated_when_the_viewer_leaves_us_the_choice() -> None:
    async def profile_of(wanted: str) -> str:
        async with scene() as stage, Viewer() as viewer:
            # The daemon's own preference is set by then.
            await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == "srtp profiles"))
            names = [profile.name for profile in aiortc_private.srtp_profiles()]
            offer = await viewer.offer()
            # Both peers share one list here, the viewer's as a client counts less.
            aiortc_private.prefer_srtp_profiles([wanted, *(name for name in names if name != wanted)])
            answer = await stage.viewers.answer(stage.key(), offer)
            assert "a=setup:passive" in answer
            await viewer.accept(answer)
            await viewer.decoded(3)
            (session,) = stage.viewers
            assert session.outlet is not None
            assert session.outlet.fast is not None
            return session.outlet.fast.srtp.profile

    for profile in aiortc_private.srtp_profiles():
        assert asyncio.run(profile_of(profile.name)) == profile.name


def test_the_fast_path_works_here() -> None:
    assert self_test() == Capabilities(usable=True, gso=True)


def test_what_receives_nothing_holds_nothing_for_receiving() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            await connect(stage, viewer)
            (session,) = stage.viewers
            assert session._pc is not None
            (transceiver,) = session._pc.getTransceivers()
            receiver: Any = transceiver.receiver
            assert receiver._RTCRtpReceiver__remote_bitrate_estimator is None

    asyncio.run(scenario())


def test_a_transport_that_closes_before_connecting_has_begun_is_no_error() -> None:
    async def scenario() -> None:
        complaints: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
        async with Viewer() as viewer:
            pc: Any = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            aiortc_private.connect_quietly(pc)
            sender = pc.addTransceiver("video", direction="sendonly").sender
            await pc.setRemoteDescription(RTCSessionDescription(await viewer.offer(), "offer"))
            await pc.setLocalDescription(await pc.createAnswer())
            transport = sender.transport.transport
            transport._RTCIceTransport__setState("closed")
            with pytest.raises(InvalidStateError):
                await type(pc)._RTCPeerConnection__connect(pc)
            await pc._RTCPeerConnection__connect()
            # By itself it does the same, in a task that nobody awaits.
            await pc.setRemoteDescription(RTCSessionDescription(await viewer.offer(), "offer"))
            await asyncio.sleep(0)
            await pc.close()
            await transport._connection.close()
        gc.collect()
        assert not complaints

    asyncio.run(scenario())
