"""A hundred viewers of one daemon: what each of them holds in memory, and that all of them are served."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from tests.harness.daemons import Daemon
from tests.peers.viewer import Viewer
from tests.peers.wire import crowd, without_decoder
from tests.soak.churn import Footprint
from tests.soak.visits import arrival

pytestmark = pytest.mark.alone

FIRST, ALL = 20, 100
MOST_MIB = 0.5  # a viewer. `make bench` measures the real figure on a quiet machine; 0.35 is what it has to reach


async def watch(http: aiohttp.ClientSession, url: str, viewer: Viewer) -> None:
    offer = await viewer.offer()
    async with http.post(url, data=offer, headers={"Content-Type": "application/sdp"}) as response:
        assert response.status == 201, await response.text()
        await viewer.accept(await response.text())
    async with asyncio.timeout(30):
        await arrival(viewer)


@pytest.mark.timeout(180)
def test_a_hundred_viewers_hold_no_more_than_half_a_mebibyte_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(daemon: Daemon) -> tuple[Footprint, Footprint]:
        async with aiohttp.ClientSession() as http, crowd(ALL) as viewers:
            for begin in range(0, FIRST, 10):
                await asyncio.gather(*(watch(http, f"{daemon.url}/whep/front", v) for v in viewers[begin : begin + 10]))
            few = Footprint.of(daemon.pid)
            for begin in range(FIRST, ALL, 10):
                await asyncio.gather(*(watch(http, f"{daemon.url}/whep/front", v) for v in viewers[begin : begin + 10]))
            status = await asyncio.to_thread(daemon.status)
            assert sum(viewer["state"] == "connected" for viewer in status["viewers"]) == ALL
            return few, Footprint.of(daemon.pid)

    without_decoder(monkeypatch)
    camera = {"source": "test", "quality": "low", "max_viewers": ALL}
    config = {"log": {"level": "warning", "format": "json"}, "viewers": {"max": ALL}, "camera": {"front": camera}}
    with Daemon(config, tmp_path) as daemon:
        daemon.wait_ready()
        few, many = asyncio.run(scenario(daemon))
        each = (many.rss_kib - few.rss_kib) / 1024 / (ALL - FIRST)
        print(f"{each:.3f} MiB a viewer, {few} {many}")
        assert each <= MOST_MIB
        # Two interfaces and the sending handle; the connections over which the offers came linger.
        assert many.descriptors - few.descriptors <= 3 * (ALL - FIRST) + 15
        daemon.assert_quiet()
