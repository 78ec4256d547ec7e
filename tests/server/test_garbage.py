"""What a connection leaves behind, and the collector that must not stop the server."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress

from edgecam.server.garbage import THRESHOLDS, collect_in_rounds
from edgecam.server.seats import Client, ViewerSeat
from tests.server.scene import Town, play


def remembered() -> int:
    """Clients and viewers that are in memory."""
    return sum(isinstance(each, Client | ViewerSeat) for each in gc.get_objects())


def test_a_client_that_has_gone_leaves_nothing_for_the_collector() -> None:
    async def script(town: Town) -> None:
        await town.camera("front")
        viewer = await town.viewer("front", "anna-" + "a" * 16)
        gc.collect()
        gc.disable()
        before = remembered()
        try:
            await viewer.ws.close()
            async with asyncio.timeout(5):
                while remembered() > before - 2:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.01)
        finally:
            gc.enable()

    play(script)


def test_the_rounds_end_with_python_collecting_as_before() -> None:
    async def main() -> None:
        task = asyncio.create_task(collect_in_rounds(), name="rounds")
        await asyncio.sleep(0)
        assert gc.get_threshold() == THRESHOLDS
        assert gc.get_freeze_count() > 1000
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    before = gc.get_threshold()
    asyncio.run(main())
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
