"""What is said of TURN, and of a viewer's end."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from edgecam.errors import ViewerRefusedError
from edgecam.settings import IceSettings
from tests.peers.viewer import Viewer
from tests.rtc.scene import scene


def test_relay_only_without_a_turn_server_is_refused_with_the_setting_to_change() -> None:
    async def scenario() -> None:
        async with scene(ice=IceSettings(policy="relay")) as stage, Viewer() as viewer:
            with pytest.raises(ViewerRefusedError, match=r"no TURN server.*\[\[ice.servers\]\]") as refused:
                await stage.viewers.answer(stage.key(), await viewer.offer())
            assert refused.value.code == "turn-unusable"
            assert len(stage.viewers) == 0

    asyncio.run(scenario())


def test_a_viewer_that_says_goodbye_is_not_called_lost() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            await viewer.accept(await stage.viewers.answer(stage.key(), await viewer.offer()))
            await viewer.decoded(3)
            (session,) = stage.viewers
            await viewer.pc.close()
            async with asyncio.timeout(3):
                await session._ended.wait()

    with capture_logs() as logs:
        asyncio.run(scenario())
    (left,) = (entry for entry in logs if entry["event"] == "viewer.left")
    assert left["reason"] == "the viewer hung up"
