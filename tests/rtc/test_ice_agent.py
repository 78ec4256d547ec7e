"""The ICE agent with a real viewer: at once, however dead the servers are; gone within five seconds; and explained."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgecam.errors import EdgecamError
from edgecam.peers import Candidate
from edgecam.rtc.ice import consent
from edgecam.rtc.ice.diagnosis import SENTENCES
from edgecam.rtc.ice.stun import Kind, Message, Method
from edgecam.settings import IceServer, IceSettings, ViewerSettings
from tests.peers.viewer import Viewer
from tests.rtc.scene import Scene, scene


class Link:
    """What a viewer is told beside its answer."""

    def __init__(self) -> None:
        self.told: list[Candidate | None] = []
        self.ended = asyncio.Event()

    def local_candidate(self, candidate: Candidate | None) -> None:
        self.told.append(candidate)
        if candidate is None:
            self.ended.set()

    def path_lost(self) -> None:
        raise AssertionError("the path was not lost")

    def turned_away(self, error: EdgecamError) -> None:
        raise AssertionError("nobody was turned away")


@contextmanager
def silent() -> Iterator[IceSettings]:
    """A STUN and a TURN server that take everything and answer nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stun, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as turn:
        for each in (stun, turn):
            each.bind(("127.0.0.1", 0))
        servers = (
            IceServer.model_validate({"urls": f"stun:127.0.0.1:{stun.getsockname()[1]}"}),
            IceServer.model_validate(
                {"urls": f"turn:127.0.0.1:{turn.getsockname()[1]}", "username": "u", "credential": "p"},
            ),
        )
        yield IceSettings(servers=servers)


def test_silent_servers_delay_neither_the_answer_nor_the_picture() -> None:
    async def scenario() -> None:
        with silent() as ice:
            async with scene(ice=ice) as stage, Viewer() as viewer:
                offer, link = await viewer.offer(), Link()
                begun = time.monotonic()
                answer = await stage.viewers.answer(stage.key(), offer, link=link)
                answered = time.monotonic() - begun
                assert "typ host" in answer
                assert "a=end-of-candidates" not in answer
                assert "a=ice-options:trickle" in answer
                await viewer.accept(answer)
                await viewer.decoded(1)
                seen = time.monotonic() - begun
                assert answered < 0.2  # it takes a few milliseconds; this machine may be busy
                assert seen < 2
                await asyncio.wait_for(link.ended.wait(), 6)
                assert link.told == [None]
                assert [s["code"] for s in stage.viewers.health.as_list()] == ["timeout", "timeout"]

    asyncio.run(scenario())


def test_a_player_that_cannot_be_told_later_waits_for_silent_servers_once_and_not_again() -> None:
    async def answered(stage: Scene, name: str) -> float:
        async with Viewer() as viewer:
            offer, begun = await viewer.offer(), time.monotonic()
            answer = await stage.viewers.answer(stage.key(name), offer, patience=1.0)
            took = time.monotonic() - begun
            assert "typ host" in answer
            assert "a=end-of-candidates" in answer
            await viewer.accept(answer)
            await viewer.decoded(1)
            async with asyncio.timeout(6):
                while len([s for s in stage.viewers.health.as_list() if s["works"] is False]) < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            return took

    async def scenario() -> tuple[float, float]:
        with silent() as ice:
            async with scene(ice=ice) as stage:
                return await answered(stage, "viewer-1"), await answered(stage, "viewer-2")

    first, second = asyncio.run(scenario())
    assert 0.9 < first < 2
    assert second < 0.5


def test_a_vanished_viewer_is_noticed_within_five_seconds() -> None:
    async def scenario() -> tuple[float, str]:
        async with scene() as stage, Viewer() as viewer:
            await viewer.accept(await stage.viewers.answer(stage.key(), await viewer.offer()))
            await viewer.decoded(3)
            (session,) = stage.viewers
            for transceiver in viewer.pc.getTransceivers():  # as if the cable were cut: no close, no BYE
                for protocol in transceiver.receiver.transport.transport._connection._protocols:
                    protocol.transport.abort()
            cut = time.monotonic()
            async with asyncio.timeout(12):
                await session._ended.wait()
            noticed = time.monotonic() - cut
            async with asyncio.timeout(3):
                while not stage.viewers.failures.counts:  # noqa: ASYNC110 - it is logged a moment later
                    await asyncio.sleep(0.01)
            return noticed, stage.viewers.failures.as_list()[0]["code"]

    noticed, code = asyncio.run(scenario())
    assert noticed <= 5
    assert code == "consent-lost"


def test_a_viewer_whose_reports_come_is_asked_for_consent_seldom() -> None:
    async def scenario() -> None:
        async with scene() as stage, Viewer() as viewer:
            await viewer.accept(await stage.viewers.answer(stage.key(), await viewer.offer()))
            await viewer.decoded(3)
            (session,) = stage.viewers
            agent = session._agents["0"]
            pair, asked = agent.selected, 0
            assert pair is not None
            send = pair.protocol.transactions._send

            def counted(data: bytes, to: tuple[str, int]) -> None:
                nonlocal asked
                asked += 1
                send(data, to)

            pair.protocol.transactions._send = counted
            began = time.monotonic()
            while time.monotonic() - began < 12.5:
                await viewer.decoded(5)
            assert 1 <= asked <= 3
            assert agent.lost is None

    asyncio.run(scenario())


@pytest.mark.parametrize("code", [0, 400, 401])
def test_a_viewer_that_refuses_consent_is_left_within_five_seconds(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is behind its port now knows nothing of it: an SFU's other session, a browser that has ended the call."""

    async def scenario() -> tuple[float, int, str | None]:
        async with scene() as stage, Viewer() as viewer:
            await viewer.accept(await stage.viewers.answer(stage.key(), await viewer.offer()))
            await viewer.decoded(3)
            (session,) = stage.viewers
            agent, asked = session._agents["0"], 0

            def refuse(message: Any, address: Any, protocol: Any, _raw: Any = None) -> None:
                nonlocal asked
                asked += 1
                response = Message(Method.BINDING, Kind.ERROR, message.transaction_id)
                if code:
                    response.put_error(code, "no")
                protocol.transport.sendto(response.encode(), address)

            viewer.receiver.transport.transport._connection.request_received = refuse
            monkeypatch.setattr(agent, "data_received", lambda _data, _component: None)  # and no reports
            began = time.monotonic()
            async with asyncio.timeout(10):
                await session._ended.wait()
            return time.monotonic() - began, asked, agent.lost

    took, asked, lost = asyncio.run(scenario())
    assert lost == "consent-lost"
    assert took < 6, "a moment is over before the last report is old"
    assert asked < 40


def test_reports_alone_are_no_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consent, "EXPIRES", 6.0)  # of 30
    monkeypatch.setattr(consent, "SELDOM", (3.0, 5.0))  # of 8 to 12

    async def scenario() -> str | None:
        async with scene() as stage, Viewer() as viewer:
            await viewer.accept(await stage.viewers.answer(stage.key(), await viewer.offer()))
            await viewer.decoded(3)
            (session,) = stage.viewers
            connection = viewer.receiver.transport.transport._connection
            connection.request_received = lambda *_args: None  # it goes on watching and reporting
            began = time.monotonic()
            async with asyncio.timeout(12):
                await session._ended.wait()
            assert time.monotonic() - began > 2.9, "it reported all the time"
            return session._agents["0"].lost

    assert asyncio.run(scenario()) == "consent-lost"


@pytest.mark.parametrize(
    ("candidates", "code"),
    [
        ([], "ice-no-candidates"),
        (["candidate:1 1 udp 1 203.0.113.77 50000 typ host"], "ice-needs-relay"),
        (["candidate:1 1 udp 1 203.0.113.77 50000 typ relay"], "ice-blocked"),
        (["candidate:1 1 udp 1 00000000-0000-0000-0000-000000000000.local 50000 typ host"], "ice-names-unresolved"),
    ],
)
def test_a_viewer_that_cannot_be_reached_is_explained(candidates: list[str], code: str) -> None:
    async def scenario() -> str:
        async with scene(settings=ViewerSettings(connect_timeout=2)) as stage, Viewer() as viewer:
            offer = re.sub(r"a=(candidate.*|end-of-candidates)\r\n", "", await viewer.offer())
            await stage.viewers.answer(stage.key(), offer)
            for line in candidates:
                stage.viewers.add_candidate(stage.key(), Candidate(line, "0", 0))
            (session,) = stage.viewers
            async with asyncio.timeout(8):
                while not stage.viewers.failures.counts:  # noqa: ASYNC110 - nothing to wait for
                    await asyncio.sleep(0.02)
            assert session.connected_at is None
            return str(stage.viewers.failures.as_list()[0]["code"])

    assert asyncio.run(scenario()) == code


def test_an_offer_that_nobody_answers_is_explained() -> None:
    async def scenario() -> str:
        async with scene(settings=ViewerSettings(connect_timeout=2)) as stage:
            await stage.viewers.offer(stage.key())
            async with asyncio.timeout(8):
                while not stage.viewers.failures.counts:  # noqa: ASYNC110 - nothing to wait for
                    await asyncio.sleep(0.02)
            return str(stage.viewers.failures.as_list()[0]["code"])

    assert asyncio.run(scenario()) == "offer-unanswered"


def test_a_public_address_that_is_mapped_to_us_is_named_with_ports_out_of_the_range() -> None:
    async def scenario() -> str:
        ice = IceSettings(udp_ports="42000-42019", nat_address="203.0.113.5", ipv6=False)
        async with scene(ice=ice) as stage, Viewer() as viewer:
            answer = await stage.viewers.answer(stage.key(), await viewer.offer())
            await viewer.accept(answer)
            await viewer.decoded(1)
            return answer

    found = re.findall(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ (\w+)", asyncio.run(scenario()))
    hosts = {int(port) for _host, port, kind in found if kind == "host"}
    mapped = {int(port) for host, port, kind in found if (host, kind) == ("203.0.113.5", "srflx")}
    assert hosts
    assert hosts == mapped
    assert hosts <= set(range(42000, 42020))
    assert not any(":" in host for host, _port, _kind in found)


def test_every_diagnosis_is_explained_in_the_documents() -> None:
    text = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text()
    assert set(SENTENCES) - set(re.findall(r"`([a-z0-9-]+)`", text)) == set()
