"""A real viewer across a change of rendition: the same connection, no negotiation, every picture decodes."""

from __future__ import annotations

import asyncio

from tests.peers.viewer import Viewer
from tests.rtc.scene import scene


def test_a_viewer_decodes_on_across_changes_of_rendition() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer, Viewer() as other:
            await viewer.accept(await stage.viewers.answer(stage.key("slow"), await viewer.offer()))
            await other.accept(await stage.viewers.answer(stage.key("other"), await other.offer()))
            await asyncio.gather(viewer.decoded(10), other.decoded(10))
            session, neighbour = stage.viewers
            if session.key.peer != "slow":
                session, neighbour = neighbour, session
            feed = session.outlet.feed if session.outlet is not None else None
            assert feed is not None
            width = 0
            for bps, rendition, expected in ((150_000, 1, 160), (4_000_000, 0, 320)):
                async with asyncio.timeout(15):
                    while session.rendition != rendition or width != expected:
                        feed.available(bps)
                        await viewer.decoded(2)
                        width = viewer.width
            assert neighbour.rendition == 0
            assert feed.dropped == 0
            await asyncio.gather(viewer.decoded(10), other.decoded(10))

    asyncio.run(scenario())
