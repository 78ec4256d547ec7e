"""Storms of RTCP through SRTP at live sessions: answered within bounds, and nobody else notices."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from struct import unpack_from
from typing import Any

import pytest

from edgecam.media.keyframes import MIN_INTERVAL
from edgecam.rtc.aiortc_private import RTCP_BURST
from edgecam.rtc.feedback import BYE
from edgecam.rtc.retransmission import BURST, PACKETS_PER_SECOND
from edgecam.rtc.sending.selftest import Capabilities
from edgecam.rtc.session import ViewerSession
from edgecam.settings import CameraSettings, ViewerSettings
from tests.peers.viewer import Viewer
from tests.peers.wire import count_sending, crowd, send_rtcp, without_decoder
from tests.rtc.mutations import Mutations
from tests.rtc.rtcp import fir, nack, pli
from tests.rtc.scene import Scene, scene

HOSTILE = 4000  # compounds
IN_A_ROW = 10  # then others get their turn


@contextmanager
def nothing_raised(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No callback and no task of anybody raises, aiortc and asyncio have nothing to complain about."""
    found: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: found.append(context))
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        yield
    loop.set_exception_handler(None)
    assert not found
    assert not caplog.records


async def join(stage: Scene, viewer: Viewer, peer: str) -> ViewerSession:
    """A viewer's session, once both ends are connected."""
    connected = asyncio.Event()

    def changed() -> None:
        if viewer.pc.connectionState == "connected":
            connected.set()

    viewer.pc.on("connectionstatechange", changed)
    await viewer.accept(await stage.viewers.answer(stage.key(peer), await viewer.offer()))
    (session,) = [session for session in stage.viewers if session.key.peer == peer]
    async with asyncio.timeout(15):
        await session._connected.wait()
        await connected.wait()
    return session


def hostile(session: ViewerSession) -> Iterator[bytes]:
    """Compounds about that session's streams, none of which is a goodbye."""
    for mutation in Mutations(99, session.fanout.ssrc, session._sender._rtx_ssrc):
        if len(mutation) >= 8:
            # What makes it RTCP is left whole, or it would not get as far as the reader.
            compound = bytes([mutation[0] & 0x3F | 0x80, max(192, min(mutation[1], 223))]) + mutation[2:]
            if BYE not in packet_types(compound):
                yield compound


def packet_types(compound: bytes) -> Iterator[int]:
    offset = 0
    while offset + 4 <= len(compound):
        kind, words = unpack_from("!xBH", compound, offset)
        yield kind
        offset += 4 * words + 4


@pytest.mark.parametrize("fast", [True, False], ids=["our sender", "aiortc's sender"])
def test_thousands_of_hostile_compounds_harm_neither_the_session_nor_its_neighbour(
    caplog: pytest.LogCaptureFixture, fast: bool
) -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as attacker, Viewer() as bystander:
            stage.viewers.fanouts["front"].capabilities = Capabilities(usable=fast, gso=fast)
            session = await join(stage, attacker, "attacker")
            await join(stage, bystander, "bystander")
            await asyncio.gather(attacker.decoded(3), bystander.decoded(3))
            with nothing_raised(caplog):
                got, others = count_sending(attacker), count_sending(bystander)
                compounds, decoded, units = hostile(session), bystander.frames, stage.pipeline.units
                begun = time.monotonic()
                heard = stage.pipeline.keyframe_requests.asked
                for _ in range(HOSTILE // IN_A_ROW):
                    for _ in range(IN_A_ROW):
                        await send_rtcp(attacker, next(compounds))
                    await asyncio.sleep(0.002)
                await asyncio.gather(attacker.decoded(3), bystander.decoded(3))
                took = time.monotonic() - begun
                assert stage.pipeline.keyframe_requests.asked > heard + RTCP_BURST / 10, "of the storm, what is allowed was heard"
                assert len(stage.viewers) == 2
                again = got.rtp.get(session._sender._rtx_ssrc, 0)
                assert again <= BURST + PACKETS_PER_SECOND * took
                assert sum(got.rtp.values()) - again <= sum(others.rtp.values()) + 40, "no more than the stream besides"
                assert got.rtcp <= others.rtcp + 4
                assert bystander.frames - decoded >= 0.9 * (stage.pipeline.units - units) - 3

    asyncio.run(scenario())


def test_a_flood_of_nacks_is_answered_within_the_budget_and_only_for_what_was_sent(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            session = await join(stage, viewer, "viewer")
            await viewer.decoded(30)
            fast = session.outlet.fast if session.outlet is not None else None
            assert fast is not None, "the fast path serves this viewer"
            rtx = session._sender._rtx_ssrc
            with nothing_raised(caplog):
                got = count_sending(viewer)
                unknown = [(fast.sequence + 2000 + 17 * n & 0xFFFF, 0xFFFF) for n in range(20)]
                await send_rtcp(viewer, nack(session.fanout.ssrc, *unknown))
                await viewer.decoded(3)
                assert rtx not in got.rtp
                # One packet, asked for a hundred times within a millisecond or two.
                await asyncio.sleep(1.0)  # what the unknown ones have cost is there again
                for _ in range(100):
                    await send_rtcp(viewer, nack(session.fanout.ssrc, (fast.sequence - 5 & 0xFFFF, 0)))
                await viewer.decoded(3)
                assert got.rtp[rtx] <= 10, "a round trip on loopback is below the least wait of 10 ms"
                begun, before = time.monotonic(), got.rtp[rtx]
                everything = [(fast.sequence - 17 * n & 0xFFFF, 0xFFFF) for n in range(1, 30)]
                while time.monotonic() < begun + 2:
                    await send_rtcp(viewer, nack(session.fanout.ssrc, *everything))
                    await asyncio.sleep(0.001)
                await viewer.decoded(3)
                took = time.monotonic() - begun
                assert 50 < got.rtp[rtx] - before <= BURST + PACKETS_PER_SECOND * took

    asyncio.run(scenario())


STORM = 3.0  # seconds
CROWD = 50
PER_SECOND = 100  # requests of each of them


def test_keyframe_requests_of_fifty_viewers_cost_one_keyframe_per_interval(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        room = CameraSettings(source="test", max_viewers=CROWD)
        async with scene(camera=room, settings=ViewerSettings(max=CROWD)) as stage, crowd(CROWD) as viewers:
            joining = [join(stage, viewer, str(number)) for number, viewer in enumerate(viewers)]
            sessions = await asyncio.gather(*joining)
            with nothing_raised(caplog):
                before, keyframes = stage.pipeline.keyframe_requests, stage.pipeline.keyframes
                delivered = [session.sent_units for session in sessions]
                begun = time.monotonic()
                async with asyncio.TaskGroup() as group:
                    for viewer, session in zip(viewers, sessions, strict=True):
                        group.create_task(ask_again_and_again(viewer, session.fanout.ssrc, begun + STORM))
                took = time.monotonic() - begun
                most = took / MIN_INTERVAL + 1
                after = stage.pipeline.keyframe_requests
                assert after.asked - before.asked >= CROWD * 30, "the storm was heard"
                assert 2 <= after.sent - before.sent <= most
                assert stage.pipeline.keyframes - keyframes <= most
                print(f"{after.asked - before.asked} requests in {took:.1f} s, {stage.pipeline.keyframes - keyframes} keyframes")
                assert len(stage.viewers) == CROWD
                assert all(session.sent_units > units + 10 for session, units in zip(sessions, delivered, strict=True))

    without_decoder(monkeypatch)
    asyncio.run(scenario())


async def ask_again_and_again(viewer: Viewer, ssrc: int, until: float) -> None:
    number = 0
    while time.monotonic() < until:
        number += 1
        await send_rtcp(viewer, fir(number & 0xFF, ssrc) if number % 2 else pli(ssrc))
        await asyncio.sleep(1 / PER_SECOND)


def test_whoever_joins_gets_a_first_picture_within_one_frame_time() -> None:
    async def scenario() -> None:
        async with scene() as stage:
            for number in range(12):
                async with Viewer() as viewer:
                    waited: list[int] = []
                    attach = stage.pipeline.attach

                    def watch(deliver: Any, attach: Any = attach, waited: list[int] = waited) -> Any:
                        begun = stage.pipeline.units

                        def first(unit: Any) -> None:
                            waited.append(stage.pipeline.units - begun)
                            deliver(unit)

                        return attach(first)

                    stage.pipeline.attach = watch  # type: ignore[method-assign]
                    await viewer.accept(await stage.viewers.answer(stage.key(str(number)), await viewer.offer()))
                    await viewer.decoded(1)
                    stage.pipeline.attach = attach  # type: ignore[method-assign]
                    assert waited[0] <= 1, "pictures of the camera until the first one for this viewer"
                    await asyncio.sleep(0.05 * (number % 4))  # another moment of the group of pictures

    asyncio.run(scenario())
