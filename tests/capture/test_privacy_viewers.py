"""What sessions of every kind do of a camera that rests, is private, and is public again: real sessions, a viewer on aiortc."""

from __future__ import annotations

import asyncio

import pytest

from edgecam.errors import EdgecamError, ViewerRefusedError
from edgecam.health import Condition, HealthBoard
from edgecam.media.pipeline import Pipeline
from edgecam.peers import Candidate, PeerKey
from edgecam.privacy import never_private
from edgecam.rtc.viewers import Viewers
from edgecam.settings import CameraSettings, IceSettings, ViewerSettings
from edgecam.signaling.exchange import Exchange, Line, RemoteOffer
from edgecam.signaling.percamera import public
from tests.capture.test_on_demand import Source
from tests.peers.viewer import Viewer

KEY = PeerKey("signaling.test", "front", "peer")


class Link:
    """What a viewer is told beside its answer."""

    def __init__(self) -> None:
        self.turned: list[EdgecamError] = []

    def local_candidate(self, candidate: Candidate | None) -> None:
        pass

    def path_lost(self) -> None:
        raise AssertionError("no path was lost")

    def turned_away(self, error: EdgecamError) -> None:
        self.turned.append(error)


class Host:
    """An on-demand camera with its viewers."""

    def __init__(self) -> None:
        self.source = Source()
        self.board, self.changed = HealthBoard(), asyncio.Event()
        self.board.watch(self.changed.set)
        self.line = self.board.component("camera.front")
        self.privacy = never_private("front")
        settings = CameraSettings(source="test", capture="on-demand", linger=0)
        self.pipeline = Pipeline("front", settings, self.source, self.line, self.privacy)
        self.viewers = Viewers({"front": self.pipeline}, IceSettings(), ViewerSettings())

    async def says(self, condition: Condition, code: str) -> None:
        """Wait until the board says that of the camera."""
        async with asyncio.timeout(5):
            while (self.line.state.condition, self.line.state.code) != (condition, code):
                self.changed.clear()
                await self.changed.wait()

    async def __aenter__(self) -> Host:
        self._running = asyncio.create_task(self.pipeline.run())
        self._serving = self.viewers.serving()
        await self._serving.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._serving.__aexit__(None, None, None)
        self._running.cancel()
        await asyncio.wait([self._running])


def test_an_offer_that_nobody_has_answered_does_not_open_the_camera_and_its_answer_does() -> None:
    async def main() -> None:
        async with Host() as host, Viewer() as viewer:
            link = Link()
            offer = await host.viewers.offer(KEY, link=link, patience=1.0, answer_within=20)
            assert not host.source.open
            assert not host.pipeline.shutter.presence.needed
            await host.viewers.accept_answer(KEY, await viewer.answer(offer))
            await host.source.becomes(open=True)
            assert await host.viewers.connected(KEY)
            await host.viewers.close(KEY, "enough")
            await host.source.becomes(open=False)

    asyncio.run(main())


def test_who_is_there_is_told_who_comes_is_refused_and_who_publishes_waits() -> None:
    async def main() -> None:
        async with Host() as host, Viewer() as viewer:
            link = Link()
            await viewer.accept(await host.viewers.answer(KEY, await viewer.offer(), link=link, patience=1.0))
            assert await host.viewers.connected(KEY)
            over = asyncio.create_task(host.viewers.ended(KEY))
            await asyncio.sleep(0)
            await host.privacy.set(private=True, by="api")
            assert (await over).reason == "camera 'front' is private"
            assert [error.code for error in link.turned] == ["camera-private"]
            await host.source.becomes(open=False)
            await host.says(Condition.RESTING, "private")
            for asks in (
                host.viewers.answer(KEY, await viewer.offer()),
                host.viewers.offer(KEY),
                host.viewers.offer(KEY, answer_within=10),
                host.viewers.publish(KEY),
            ):
                with pytest.raises(ViewerRefusedError) as refused:
                    await asks
                assert refused.value.code == "camera-private"
            published = HealthBoard().component("signaling.studio")
            waiting = asyncio.create_task(public(host.viewers, "front", published))
            await asyncio.sleep(0)
            assert (published.state.condition, published.state.code) == (Condition.RESTING, "private")
            assert not waiting.done()
            await host.privacy.set(private=False, by="api")
            await waiting
            await public(host.viewers, "front", published)

    asyncio.run(main())


def test_signaling_tells_whoever_watches_in_the_dialects_own_words() -> None:
    class Outgoing:
        def __init__(self) -> None:
            self.said: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

        async def send_offer(self, peer: str, sdp: str) -> None:
            raise AssertionError("the camera calls nobody")

        async def send_answer(self, peer: str, sdp: str) -> None:
            self.said.put_nowait((peer, sdp))

        async def send_candidate(self, peer: str, candidate: Candidate) -> None:
            pass

        async def send_error(self, peer: str, error: EdgecamError) -> None:
            self.said.put_nowait((peer, error.code))

    async def main() -> None:
        async with Host() as host, Viewer() as viewer, asyncio.TaskGroup() as group:
            outgoing = Outgoing()
            exchange = Exchange("signaling.test", "front", host.viewers, outgoing, group, Line())
            exchange.receive("peer", RemoteOffer(await viewer.offer()))
            _peer, answer = await outgoing.said.get()
            await viewer.accept(answer)
            assert await host.viewers.connected(KEY)
            await host.privacy.set(private=True, by="api")
            assert await outgoing.said.get() == ("peer", "camera-private")
            exchange.receive("late", RemoteOffer(await viewer.offer()))
            assert await outgoing.said.get() == ("late", "camera-private")
            exchange.close()

    asyncio.run(main())
