"""Offers of the camera to whoever may hear them."""

from __future__ import annotations

import asyncio

import pytest

from edgecam.errors import ViewerRefusedError
from edgecam.settings import CameraSettings, ViewerSettings
from tests.peers.viewer import Viewer
from tests.rtc.scene import scene

ONE = CameraSettings(source="test", max_viewers=1)


def test_an_offer_that_waits_for_an_answer_takes_no_viewers_place_and_connects_however_late() -> None:
    async def scenario() -> None:
        async with scene(camera=ONE, settings=ViewerSettings(connect_timeout=2.0)) as stage:
            offer = await stage.viewers.offer(stage.key("anybody"), answer_within=30)
            async with Viewer() as other:
                await other.accept(await stage.viewers.answer(stage.key("other"), await other.offer()))
                await other.decoded(75)  # longer than the time for connecting
            await stage.viewers.close(stage.key("other"), "it has seen enough")
            while stage.viewers.knows(stage.key("other")):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
            async with Viewer() as late:
                await stage.viewers.accept_answer(stage.key("anybody"), await late.answer(offer))
                await late.decoded(3)

    asyncio.run(scenario())


def test_who_answers_such_an_offer_is_refused_when_the_camera_is_full_by_then() -> None:
    async def scenario() -> None:
        async with scene(camera=ONE) as stage, Viewer() as first, Viewer() as late:
            await first.accept(await stage.viewers.answer(stage.key("first"), await first.offer()))
            await first.decoded(2)
            offer = await stage.viewers.offer(stage.key("anybody"), answer_within=30)
            assert stage.viewers.admission.refused == 0
            with pytest.raises(ViewerRefusedError, match="max_viewers"):
                await stage.viewers.accept_answer(stage.key("anybody"), await late.answer(offer))
            await first.decoded(2)

    asyncio.run(scenario())


def test_an_offer_that_nobody_answers_ends_without_being_called_a_failure() -> None:
    async def scenario() -> None:
        async with scene() as stage:
            await stage.viewers.offer(stage.key("anybody"), answer_within=0.1)
            async with asyncio.timeout(5):
                while stage.viewers.knows(stage.key("anybody")):  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.01)
            assert stage.viewers.failures.as_list() == []

    asyncio.run(scenario())
