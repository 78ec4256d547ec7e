"""ICE restart (RFC 8445 section 9): agents of ours on both sides, over real sockets of this machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from edgecam.rtc.ice import schedule
from edgecam.rtc.ice.agent import Agent
from edgecam.rtc.ice.gathering import Gathering
from edgecam.rtc.ice.restart import restart
from edgecam.settings import IceSettings


class Side:
    """An agent, and the code with which it lost its path."""

    def __init__(self, name: str, *, controlling: bool) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.agent = Agent(Gathering.alone(IceSettings(), []), name, lambda _candidate: None, self.lost.set_result)
        self.agent.ice_controlling = controlling

    async def hear_of(self, other: Side) -> None:
        """Its credentials, for an agent that has not begun, and its candidates."""
        self.agent.described_remote = other.agent.local_username, other.agent.local_password
        for candidate in other.agent.local_candidates:
            await self.agent.add_remote_candidate(candidate)

    async def sends_to(self, other: Side, data: bytes) -> None:
        await self.agent.send(data)
        async with asyncio.timeout(2):
            assert await other.agent.recv() == data

    @property
    def ports(self) -> set[int]:
        return {candidate.port for candidate in self.agent.local_candidates}

    def sends_to_port(self) -> int:
        assert self.agent.selected is not None
        return self.agent.selected.remote_addr[1]


@asynccontextmanager
async def cast() -> AsyncIterator[tuple[Side, Callable[[str], Awaitable[Side]]]]:
    """A camera that is connected to nobody, and a way to have viewers that know of it."""
    async with AsyncExitStack() as stack:
        camera = Side("camera", controlling=False)
        stack.push_async_callback(camera.agent.close)
        await camera.agent.gather_candidates()

        async def viewer(name: str) -> Side:
            side = Side(name, controlling=True)
            stack.push_async_callback(side.agent.close)
            await side.agent.gather_candidates()
            return side

        yield camera, viewer


async def meet(camera: Side, viewer: Side) -> None:
    await viewer.hear_of(camera)
    await camera.hear_of(viewer)
    await asyncio.gather(camera.agent.connect(), viewer.agent.connect())


async def call_anew(camera: Side, viewer: Side) -> None:
    """The camera's side of a PATCH with the viewer's new credentials, and the viewer's of its answer."""
    await restart(camera.agent, viewer.agent.local_username, viewer.agent.local_password)
    await viewer.hear_of(camera)
    for candidate in viewer.agent.local_candidates:
        await camera.agent.add_remote_candidate(candidate)


def test_media_stays_on_the_old_path_until_the_new_one_is_there() -> None:
    async def main() -> None:
        async with cast() as (camera, viewer):
            old, new = await viewer("old"), await viewer("new")
            await meet(camera, old)
            before = camera.agent.local_username, camera.agent.local_password
            await call_anew(camera, new)
            assert not {*before} & {camera.agent.local_username, camera.agent.local_password}
            await camera.sends_to(old, b"while nobody has checked anything yet")
            await old.sends_to(camera, b"and back")
            await new.agent.connect()
            async with asyncio.timeout(5):
                while camera.sends_to_port() not in new.ports:
                    await new.agent.send(b"hello")
                    await camera.agent.recv()
            await camera.sends_to(new, b"on the new path")
            assert camera.agent.former is None
            assert not camera.lost.done()

    asyncio.run(main())


def test_the_old_path_keeps_its_consent_when_the_restart_leads_nowhere() -> None:
    async def main() -> None:
        async with cast() as (camera, viewer):
            old = await viewer("old")
            await meet(camera, old)
            await restart(camera.agent, "nobodyhere", "n" * 24)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5.5):  # longer than a path lives that nobody confirms
                    await asyncio.wait({camera.lost, old.lost}, return_when=asyncio.FIRST_COMPLETED)
            await camera.sends_to(old, b"still here")

    asyncio.run(main())


def test_a_viewer_whose_old_network_is_gone_comes_back_on_a_new_one() -> None:
    async def main() -> None:
        async with cast() as (camera, viewer):
            old, new = await viewer("old"), await viewer("new")
            await meet(camera, old)
            for endpoint in old.agent.local.endpoints:
                endpoint.transport.close()  # no goodbye, and no answer to consent checks any more
            await call_anew(camera, new)
            async with asyncio.timeout(10):
                while camera.agent.selected is not None:  # noqa: ASYNC110 - consent runs out, and tells nobody
                    await asyncio.sleep(0.05)
            assert not camera.lost.done(), "given up, although the restart was under way"
            await camera.agent.send(b"between two paths: lost")
            await new.agent.connect()
            await new.sends_to(camera, b"here I am")
            await camera.sends_to(new, b"welcome back")

    asyncio.run(main())


def test_what_ended_before_a_restart_says_nothing_about_candidates_after_it() -> None:
    async def main() -> None:
        async with cast() as (camera, viewer):
            old = await viewer("old")
            await camera.agent.add_remote_candidate(None)
            await meet(camera, old)
            await restart(camera.agent, "nobodyhere", "n" * 24)
            assert not camera.agent.remote_ended

    asyncio.run(main())


def test_a_restart_that_nobody_answers_ends_when_the_old_path_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> float:
        async with cast() as (camera, viewer):
            old = await viewer("old")
            await meet(camera, old)
            for endpoint in old.agent.local.endpoints:
                endpoint.transport.close()
            begun = time.monotonic()
            await restart(camera.agent, "nobodyhere", "n" * 24)
            async with asyncio.timeout(20):
                assert await camera.lost == "ice-failed"
            return time.monotonic() - begun

    monkeypatch.setattr(schedule, "GIVE_UP", 6.0)
    assert 5 < asyncio.run(main()) < 12
