"""Viewers' sessions: admission, replacement, early candidates, and an end with BYE."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiortc.rtp import RtcpByePacket, RtcpPacket

from edgecam.errors import NegotiationError, ViewerRefusedError
from edgecam.peers import Candidate
from edgecam.settings import CameraSettings, ViewerSettings
from tests.peers.viewer import Viewer
from tests.rtc.scene import scene


def test_an_unknown_camera_is_refused_by_name() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            with pytest.raises(ViewerRefusedError, match=r"no camera 'attic'.*cameras here: front"):
                await stage.viewers.answer(stage.key(camera="attic"), await viewer.offer())

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("camera", "daemon", "named"), [(1, 50, r"\[camera.front\] max_viewers"), (16, 1, r"\[viewers\] max")]
)
def test_one_viewer_too_many_is_refused_with_the_setting_to_raise(camera: int, daemon: int, named: str) -> None:
    async def scenario() -> None:
        stage_settings = CameraSettings(source="test", max_viewers=camera)
        async with scene(camera=stage_settings, settings=ViewerSettings(max=daemon)) as stage:
            async with Viewer() as first, Viewer() as second:
                await first.accept(await stage.viewers.answer(stage.key("one"), await first.offer()))
                with pytest.raises(ViewerRefusedError, match=named) as refused:
                    await stage.viewers.answer(stage.key("two"), await second.offer())
                assert refused.value.code == "viewers-full"
                await first.decoded(3)
                assert len(stage.viewers) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("offer", ["", "v=0", "v=0\r\nm=video 9 x", "v=0\r\n" + "a" * 60_000])
def test_a_malformed_offer_harms_nobody_and_leaves_nothing_behind(offer: str) -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            with pytest.raises(NegotiationError):
                await stage.viewers.answer(stage.key("bad"), offer)
            assert len(stage.viewers) == 0
            await viewer.accept(await stage.viewers.answer(stage.key(), await viewer.offer()))
            await viewer.decoded(3)

    asyncio.run(scenario())


def test_an_offer_broken_in_any_place_raises_nothing_but_a_negotiation_error() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            lines = (await viewer.offer()).splitlines(keepends=True)
            for index in range(len(lines)):
                broken = lines.copy()
                broken[index] = broken[index][: len(broken[index]) // 2] + "\r\n"
                try:
                    await stage.viewers.answer(stage.key(f"v{index % 4}"), "".join(broken))
                except NegotiationError:
                    continue

    asyncio.run(scenario())


def test_a_viewer_that_negotiates_again_replaces_its_session() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as before, Viewer() as after:
            await before.accept(await stage.viewers.answer(stage.key(), await before.offer()))
            await before.decoded(2)
            await after.accept(await stage.viewers.answer(stage.key(), await after.offer()))
            await after.decoded(3)
            assert len(stage.viewers) == 1

    asyncio.run(scenario())


def test_candidates_that_come_before_the_offer_are_kept_for_it() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            offer = await viewer.offer()
            candidates = [line for line in offer.splitlines() if line.startswith("a=candidate:")]
            assert candidates
            bare = "".join(
                line for line in offer.splitlines(keepends=True) if not line.startswith(("a=candidate", "a=end-of-cand"))
            )
            for line in candidates:
                stage.viewers.add_candidate(stage.key(), Candidate(line, "0", 0))
            stage.viewers.add_candidate(stage.key(), None)
            await viewer.accept(await stage.viewers.answer(stage.key(), bare))
            (session,) = stage.viewers
            await viewer.decoded(3)
            assert session._pc is not None
            remote = session._pc.getTransceivers()[0].receiver.transport.transport.getRemoteCandidates()
            assert {f"{c.ip}:{c.port}" for c in remote} >= {f"{f[4]}:{f[5]}" for f in (line.split() for line in candidates)}

    asyncio.run(scenario())


def test_only_h264_is_negotiated_and_the_answer_tells_the_truth_about_it() -> None:
    async def scenario() -> str:
        async with scene() as stage, Viewer() as viewer:
            return await stage.viewers.answer(stage.key(), await viewer.offer())

    answer = asyncio.run(scenario())
    assert "VP8" not in answer
    assert "profile-level-id=42c00d" in answer, "what the source said its SPS has"


def test_a_viewers_own_microphone_is_not_received() -> None:
    async def scenario() -> str:
        async with scene() as stage, Viewer() as viewer:
            viewer.pc.addTransceiver("audio", direction="sendrecv")
            answer = await stage.viewers.answer(stage.key(), await viewer.offer())
            await viewer.accept(answer)
            await viewer.decoded(3)
            return answer

    audio = next(part for part in asyncio.run(scenario()).split("m=") if part.startswith("audio"))
    assert "a=inactive" in audio


def test_every_viewer_hears_bye_when_the_daemon_stops() -> None:
    async def scenario() -> list[object]:
        heard: list[object] = []
        said = asyncio.Event()
        async with Viewer() as viewer:
            async with scene() as stage:
                await viewer.accept(await stage.viewers.answer(stage.key(), await viewer.offer()))
                await viewer.decoded(3)
                transport: Any = viewer.receiver.transport
                forward = transport._handle_rtcp_data

                async def listen(data: bytes) -> None:
                    heard.extend(p for p in RtcpPacket.parse(data) if isinstance(p, RtcpByePacket))
                    if heard:
                        said.set()
                    await forward(data)

                transport._handle_rtcp_data = listen
            await asyncio.wait_for(said.wait(), 2)
        return heard

    assert asyncio.run(scenario())


def test_three_viewers_share_one_encoder() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as one, Viewer() as two, Viewer() as three:
            for name, viewer in (("one", one), ("two", two), ("three", three)):
                await viewer.accept(await stage.viewers.answer(stage.key(name), await viewer.offer()))
            before = stage.pipeline.units
            await asyncio.gather(*(viewer.decoded(30) for viewer in (one, two, three)))
            assert stage.pipeline.starts == 1
            assert stage.pipeline.units - before < 60, "three times thirty frames were decoded, encoded once"
            assert stage.pipeline.subscribers == 3

    asyncio.run(scenario())
