"""The call of a camera to itself: through a real coturn, by the real session, with real H.264, on both ends."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from edgecam.doctor.call import call_finding
from edgecam.health import HealthBoard
from edgecam.media.pipeline import Pipeline
from edgecam.media.types import AccessUnit, Begin, UnitSink
from edgecam.rtc.selfcall import CallResult, call_through
from edgecam.settings import CameraSettings, IceServer, IceSettings
from edgecam.supervisor import background
from tests.network.coturn import PASSWORD, USER, Coturn, coturn
from tests.network.namespaces import PUBLIC_ADDRESS, Network
from tests.peers.source import EncodedSource

ENOUGH = 10  # of 30 pictures a second: this process is both ends, and encodes


class GarbledSource(EncodedSource):
    """Every slice's inside is noise: packets arrive whole, and hold no picture."""

    async def run(self, sink: UnitSink, begin: Begin | None = None) -> None:
        await super().run(_Garbling(sink))


class _Garbling:
    def __init__(self, sink: UnitSink) -> None:
        self.opened, self.report = sink.opened, sink.report
        self._sink = sink

    def unit(self, unit: AccessUnit) -> None:
        noise = bytes(byte | 1 for byte in os.urandom(200))
        kind = b"\x65" if unit.keyframe else b"\x41"
        data = b"\x00\x00\x00\x01" + kind + noise
        self._sink.unit(AccessUnit(data, unit.keyframe, unit.timestamp, unit.captured_ns, unit.received_ns))


@pytest.fixture
def turn(network: Network, tmp_path: Path) -> Iterator[Coturn]:
    with coturn(network.public, tmp_path / "turn") as running:
        yield running


def call(network: Network, source: EncodedSource, url: str) -> CallResult:
    async def scenario() -> CallResult:
        pipeline = Pipeline("front", CameraSettings(source="test"), source, HealthBoard().component("camera.front"))
        server = IceServer(urls=(url,), username=USER, credential=SecretStr(PASSWORD))
        async with asyncio.timeout(30), background(("camera", pipeline.run)):
            result = await call_through(pipeline, server, IceSettings(), watched=1.5)
        left = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert left == []
        return result

    with network.camera.inside():
        return asyncio.run(scenario())


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_pictures_go_through_the_server_and_are_counted(network: Network, turn: Coturn, transport: str) -> None:
    result = call(network, EncodedSource(), f"turn:{PUBLIC_ADDRESS}:3478?transport={transport}")
    assert result.works
    assert (result.path, result.width, result.height) == ("relay", 320, 240)
    assert result.first_frame_s is not None
    assert result.first_frame_s < 5
    assert result.frames > ENOUGH
    assert call_finding("turn", result, ENOUGH).code == ""
    assert turn.said.count("ALLOCATE processed, success") == 2


def test_packets_that_hold_no_picture_are_no_network_problem(network: Network, turn: Coturn) -> None:
    result = call(network, GarbledSource(), turn.url)
    assert result.packets > 20
    assert not result.works
    assert call_finding("turn", result, 30).code == "codec-mismatch"


def test_a_slow_relay_is_told_from_a_dead_one() -> None:
    seen = CallResult(0.1, 0.2, 0.3, frames=30, fps=9.5, packets=100, lost=40, width=320, height=240, path="relay")
    assert call_finding("turn", seen, 30).code == "relay-slow"
    connected = CallResult(0.1, 0.2, packets=10, lost=90)
    assert call_finding("turn", connected, 30).code == "relay-no-media"
