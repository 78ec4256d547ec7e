"""Viewers that mean harm or just vanish: what they may cost the daemon and everybody else."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from struct import pack
from typing import Any

import pytest

from edgecam.errors import NegotiationError, ViewerRefusedError
from edgecam.peers import Candidate
from edgecam.rtc.candidates import MAX_CANDIDATES
from edgecam.rtc.retransmission import BURST
from edgecam.settings import IceServer, IceSettings
from tests.peers.viewer import Viewer
from tests.rtc.scene import Scene, scene


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def connect(stage: Scene, viewer: Viewer, peer: str = "viewer-1") -> Any:
    await viewer.accept(await stage.viewers.answer(stage.key(peer), await viewer.offer()))
    await viewer.decoded(3)
    return next(session for session in stage.viewers if session.key.peer == peer)


async def gone(stage: Scene, within: float = 5.0) -> None:
    """Until no session is left, however it ended."""
    tasks = stage.viewers._tasks
    async with asyncio.timeout(within):
        while tasks:
            await asyncio.wait(tasks)
    assert len(stage.viewers) == 0


def silent_server() -> tuple[socket.socket, IceServer]:
    """A TURN server that takes everything and answers nothing."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    return listener, IceServer.model_validate({"urls": f"turn:127.0.0.1:{port}", "username": "u", "credential": "p"})


def test_an_offer_of_many_sections_opens_no_sockets() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            offer = await viewer.offer()
            section = offer[offer.index("m=video") :]
            before = descriptors()
            with pytest.raises(NegotiationError):
                await stage.viewers.answer(stage.key(), offer + section * 20)
            await gone(stage)
            assert descriptors() <= before

    asyncio.run(scenario())


@pytest.mark.parametrize("how", ["cancelled", "timed out"])
def test_a_viewer_that_leaves_while_candidates_are_gathered_leaves_nothing_behind(how: str) -> None:
    async def scenario() -> None:
        listener, server = silent_server()
        with listener:
            async with scene(ice=IceSettings(servers=(server,))) as stage, Viewer() as viewer:
                offer = await viewer.offer()
                before = descriptors()
                joining = asyncio.create_task(stage.viewers.answer(stage.key(), offer))
                if how == "cancelled":
                    await asyncio.to_thread(listener.recv, 1500)  # the camera has begun to allocate
                    joining.cancel()
                await asyncio.wait({joining})
                if how == "timed out":
                    await stage.viewers.close(stage.key(), "the test is over")
                await gone(stage, within=15)
                assert descriptors() <= before

    asyncio.run(scenario())


def test_a_daemon_that_stops_does_not_wait_for_a_negotiation() -> None:
    async def scenario() -> None:
        listener, server = silent_server()
        with listener:
            async with Viewer() as viewer:
                offer = await viewer.offer()
                loop = asyncio.get_running_loop()
                async with scene(ice=IceSettings(servers=(server,))) as stage:
                    joining = asyncio.create_task(stage.viewers.answer(stage.key(), offer))
                    await asyncio.to_thread(listener.recv, 1500)
                    asked = loop.time()
                assert loop.time() - asked < 4
                with pytest.raises(ViewerRefusedError, match="shutting down"):
                    await joining

    asyncio.run(scenario())


def test_a_session_that_closes_just_after_nomination_asks_nobody_for_consent_afterwards() -> None:
    async def scenario() -> None:
        async with scene() as stage:
            for number in range(4):
                async with Viewer() as viewer:
                    key = stage.key(str(number))
                    answer = await stage.viewers.answer(key, await viewer.offer())
                    (session,) = stage.viewers
                    agent = session._agents["0"]
                    await viewer.accept(answer)
                    async with asyncio.timeout(5):
                        await agent._connected.wait()
                    await stage.viewers.close(key, "the viewer changed its mind")
                    await gone(stage)
            # What looks after all viewers' surroundings may take a moment to see that there are none left.
            names = {task.get_name() for task in asyncio.all_tasks()} - {"ice surroundings"}
            assert not [name for name in names if name.startswith("ice ")]

    asyncio.run(scenario())


def test_a_nack_storm_is_not_answered() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            session = await connect(stage, viewer)
            sent: list[int] = []
            transport = session._sender.transport
            send = transport._send_rtp

            async def counted(data: bytes) -> None:
                sent.append(len(data))
                await send(data)

            await viewer.decoded(5)
            transport._send_rtp = counted
            entries = [pack("!HH", number * 17 & 0xFFFF, 0xFFFF) for number in range(280)]
            storm = pack("!BBHII", 0x81, 205, 2 + len(entries), 1, session.fanout.ssrc) + b"".join(entries)
            for _ in range(20):
                await viewer.receiver.transport._send_rtp(storm)
            await viewer.decoded(10)
            assert len(sent) < BURST + 200, "what the stream itself needs, and no storm of retransmissions"

    asyncio.run(scenario())


def test_no_more_candidates_are_checked_than_a_browser_has() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            session = await connect(stage, viewer)
            for number in range(500):
                line = f"candidate:{number} 1 udp 1 192.0.2.{number % 250 + 3} {1024 + number} typ host"
                stage.viewers.add_candidate(stage.key(), Candidate(line, "0", 0))
            await viewer.decoded(5)
            remote = session._sender.transport.transport.getRemoteCandidates()
            assert len(remote) <= MAX_CANDIDATES + 4, "a few more are found by the viewer's own checks"

    asyncio.run(scenario())


def test_an_offer_that_says_it_has_no_more_candidates_is_served_all_the_same() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            lines = (await viewer.offer()).splitlines(keepends=True)
            bare = "".join(line for line in lines if not line.startswith(("a=candidate", "a=end-of-candidates")))
            unusable = "a=candidate:1 1 udp 1 0a1b2c3d-0000-4000-8000-000000000000.local 50000 typ host\r\n"
            answer = await stage.viewers.answer(stage.key(), bare + unusable + "a=end-of-candidates\r\n")
            await viewer.accept(answer)
            await viewer.decoded(3)

    asyncio.run(scenario())


def test_relay_only_holds_for_every_section_of_an_offer() -> None:
    async def scenario() -> str:
        listener, server = silent_server()
        with listener:
            async with scene(ice=IceSettings(policy="relay", servers=(server,))) as stage, Viewer() as viewer:
                viewer.pc.addTransceiver("audio", direction="recvonly")
                with pytest.raises(ViewerRefusedError) as refused:
                    await stage.viewers.answer(stage.key(), await viewer.offer())
                return refused.value.code

    assert asyncio.run(scenario()) == "turn-unusable"
