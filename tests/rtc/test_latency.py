"""The data channel on which viewers report their latency: served, and bounded, whatever a viewer does with it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from edgecam.rtc.latency import BURST, LABEL
from edgecam.rtc.session import ViewerSession
from tests.peers.viewer import Viewer
from tests.rtc.scene import Scene, scene


class Caller:
    """A viewer with a data channel; `answers` holds what came back on it."""

    def __init__(self, viewer: Viewer, label: str = LABEL) -> None:
        self.viewer = viewer
        self.answers: asyncio.Queue[Any] = asyncio.Queue()
        self.opened = asyncio.Event()
        self.channel: Any = viewer.pc.createDataChannel(label, ordered=False, maxRetransmits=0)
        self.channel.on("open", self.opened.set)
        self.channel.on("message", self.answers.put_nowait)

    @property
    def association(self) -> Any:
        return self.viewer.pc.sctp


@asynccontextmanager
async def call(label: str = LABEL) -> AsyncIterator[tuple[Scene, Caller, ViewerSession]]:
    async with scene() as stage, Viewer() as viewer:
        caller = Caller(viewer, label)
        await viewer.accept(await stage.viewers.answer(stage.key(), await viewer.offer()))
        await viewer.decoded(3)
        (session,) = stage.viewers
        async with asyncio.timeout(10):
            await caller.opened.wait()
        yield stage, caller, session


async def still_served(stage: Scene, caller: Caller) -> None:
    await caller.viewer.decoded(20)
    assert len(list(stage.viewers)) == 1


def test_the_answer_is_the_rtp_clock_that_pictures_are_stamped_with() -> None:
    async def scenario() -> None:
        async with call() as (_stage, caller, session):
            stamped: list[tuple[int, int]] = []  # what the last packet of each picture says, and when it came
            receiver = caller.viewer.receiver
            handle = receiver._handle_rtp_packet

            async def look(packet: Any, arrival_time_ms: int) -> None:
                stamped.append((packet.timestamp, time.monotonic_ns()))
                await handle(packet, arrival_time_ms)

            receiver._handle_rtp_packet = look
            await caller.viewer.decoded(10)
            caller.channel.send(json.dumps({"ping": 5.0, "latency": [20, 31.5, 59]}))
            async with asyncio.timeout(5):
                answer = json.loads(await caller.answers.get())
            asked = time.monotonic_ns()
            assert answer["pong"] == 5.0
            timestamp, arrived = stamped[-1]
            expected = timestamp + (asked - arrived) * 9 // 100_000
            assert abs((answer["rtp"] - expected + 2**31) % 2**32 - 2**31) < 9000  # 0.1 s
            assert session.latency.current is not None
            assert session.latency.current.p95_ms == 31.5

    asyncio.run(scenario())


def test_other_channels_are_not_answered() -> None:
    async def scenario() -> None:
        async with call("chat") as (stage, caller, session):
            caller.channel.send('{"ping": 1, "latency": [1, 2, 3]}')
            await still_served(stage, caller)
            assert caller.answers.empty()
            assert session.latency.current is None

    asyncio.run(scenario())


@pytest.mark.parametrize("message", ["", "rubbish", '{"ping": 1e999}', "[" * 1000, b"\xff" * 1000, "x" * 60_000])
def test_rubbish_is_neither_answered_nor_harmful(message: str | bytes) -> None:
    async def scenario() -> None:
        async with call() as (stage, caller, session):
            for _ in range(5):
                caller.channel.send(message)
            await still_served(stage, caller)
            assert caller.answers.empty()
            assert session.latency.current is None

    asyncio.run(scenario())


def test_a_flood_is_answered_as_often_as_a_page_would_ask() -> None:
    async def scenario() -> None:
        async with call() as (stage, caller, _session):
            for _ in range(2000):
                caller.channel.send('{"ping": 1}')
            await still_served(stage, caller)
            assert 0 < caller.answers.qsize() < BURST

    asyncio.run(scenario())


def test_a_message_without_an_end_is_not_kept() -> None:
    async def scenario() -> None:
        async with call() as (stage, caller, session):
            assert session._pc is not None
            association: Any = session._pc.sctp
            window = association._advertised_rwnd
            await caller.association._send(caller.channel.id, 51, bytes(1_000_000))
            for chunk in caller.association._outbound_queue:
                chunk.flags &= ~1  # the last fragment is none
            await still_served(stage, caller)
            assert window - association._advertised_rwnd < 16_384

    asyncio.run(scenario())


def test_a_viewer_that_opens_many_channels_is_not_listened_to() -> None:
    async def scenario() -> None:
        async with call() as (stage, caller, session):
            for number in range(200):
                caller.viewer.pc.createDataChannel(f"channel {number}")
            await still_served(stage, caller)
            assert session._pc is not None
            association: Any = session._pc.sctp
            assert len(association._data_channels) < 60

    asyncio.run(scenario())


def test_a_chunk_that_breaks_aiortc_does_not_end_the_session() -> None:
    async def scenario() -> None:
        async with call() as (stage, caller, session):
            dcep_open = b"\x03\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\xff\xfe\xff\xfe"  # a label that is no UTF-8
            await caller.association._send(8, 50, dcep_open)
            await still_served(stage, caller)
            assert session.alive

    asyncio.run(scenario())
