"""A camera published to Janus, and watched there: full ICE and ICE-lite by libnice, DTLS by OpenSSL, RTCP by people who know it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.harness.daemons import Daemon
from tests.signaling.scene import run
from tests.signaling_servers.media.janus import Janus, WhipFront, running

PICTURE = {"source": "test", "width": 320, "height": 240, "fps": 30, "bitrate_kbps": 400, "keyframe_interval": 300.0}

Act = Callable[[Janus, WhipFront, Daemon], Awaitable[None]]


def published(tmp_path: Path, act: Act, *, lite: bool) -> None:
    """Have a camera published to Janus, and do `act`."""

    async def main() -> None:
        front = WhipFront(janus)
        async with front.listening() as url:
            daemon = Daemon({"camera": {"front": PICTURE}, "signaling": {"media": {"type": "whip", "url": url}}}, tmp_path)
            try:
                await asyncio.to_thread(daemon.__enter__)
                await asyncio.to_thread(daemon.wait_ready)
                await act(janus, front, daemon)
            finally:
                await asyncio.to_thread(daemon.end)

    with running(tmp_path, lite=lite) as janus:
        run(main)


@pytest.mark.parametrize("lite", [False, True], ids=["full ICE", "ICE-lite"])
def test_janus_shows_the_camera_and_its_keyframe_requests_are_heard(tmp_path: Path, lite: bool) -> None:
    async def act(_janus: Janus, front: WhipFront, daemon: Daemon) -> None:
        async with front.watched() as viewer:
            await viewer.decoded(30)
        (publication,) = (await asyncio.to_thread(daemon.status))["publications"]
        assert publication["media_path"] == "fast"
        assert publication["keyframe_requests"] >= 1, "Janus asks for a keyframe for each that comes to watch"
        await asyncio.to_thread(lambda: daemon.terminate(within=5))
        assert front.deleted == 1
        assert front.publishers == {}

    published(tmp_path, act, lite=lite)


def test_a_camera_that_janus_throws_out_and_a_janus_that_dies_are_published_to_again(tmp_path: Path) -> None:
    async def act(janus: Janus, front: WhipFront, daemon: Daemon) -> None:
        ended = time.monotonic()
        await front.end(next(iter(front.publishers)))
        await front.until(2, within=4)
        assert time.monotonic() - ended < 3, "Janus says goodbye over DTLS"
        await asyncio.to_thread(janus.kill)
        await asyncio.to_thread(janus.start)
        front.publishers.clear()
        await front.until(3, within=15)
        await asyncio.to_thread(daemon.wait_ready)  # Janus shows nobody a publisher that is not connected yet
        async with front.watched() as viewer:
            await viewer.decoded(20)
        daemon.assert_quiet()

    published(tmp_path, act, lite=False)
