"""Header extensions and feedback that aiortc negotiates for us, in both directions."""

from __future__ import annotations

import asyncio
import re

from edgecam.rtc import extensions
from tests.peers.viewer import Viewer
from tests.rtc.scene import scene

OURS = {extensions.MID, extensions.ABS_SEND_TIME, extensions.PLAYOUT_DELAY, extensions.ABS_CAPTURE_TIME}


def extmap(sdp: str) -> dict[str, int]:
    return {uri: int(number) for number, uri in re.findall(r"^a=extmap:(\d+) (\S+)", sdp, re.MULTILINE)}


def fir(sdp: str) -> list[str]:
    return re.findall(r"^a=rtcp-fb:\S+ ccm fir", sdp, re.MULTILINE)


def test_an_answer_takes_the_viewers_ids_and_fir() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            offer = await viewer.offer(h264_only=True)
            shifted = re.sub(r"^a=extmap:\d+ (.*playout-delay)", r"a=extmap:11 \1", offer, flags=re.MULTILINE)
            assert set(extmap(shifted)) >= OURS
            answer = await stage.viewers.answer(stage.key(), shifted)
            assert extmap(answer) == {uri: number for uri, number in extmap(shifted).items() if uri in OURS}
            assert fir(answer)
            await viewer.accept(answer)
            await viewer.decoded(3)

    asyncio.run(scenario())


def test_an_offer_names_each_extension_once_and_the_answer_is_taken() -> None:
    async def scenario() -> None:
        extensions.register()  # twice does nothing more
        async with scene() as stage, Viewer() as viewer:
            offer = await stage.viewers.offer(stage.key())
            assert set(extmap(offer)) == OURS
            assert len(set(extmap(offer).values())) == offer.count("a=extmap:") == len(OURS)
            assert fir(offer)
            assert len(fir(offer)) == len(set(fir(offer)))
            await stage.viewers.accept_answer(stage.key(), await viewer.answer(offer))
            await viewer.decoded(3)

    asyncio.run(scenario())


def test_transport_wide_congestion_control_is_not_negotiated() -> None:
    """Chromium would stop sending REMB."""

    async def scenario() -> None:
        async with scene() as stage:
            assert "transport-wide-cc" not in await stage.viewers.offer(stage.key())
            assert "transport-cc" not in await stage.viewers.offer(stage.key("viewer-2"))

    asyncio.run(scenario())
