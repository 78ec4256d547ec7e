"""What visitors leave behind in the daemon: nothing. `make soak` does the same for an hour."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from pathlib import Path

import pytest

from edgecam.rtc import memory
from tests.harness.daemons import Daemon
from tests.harness.waiting import until
from tests.peers.viewer import Viewer
from tests.peers.wire import without_decoder
from tests.rtc.scene import Scene, scene
from tests.soak.churn import Footprint
from tests.soak.visits import arrival, silence, visits

CYCLES = 1000
# All of them vanish, so that about as many as later wait at a time for their consent to run out: what a peak of sessions
# scatters over Python's arenas stays with the process, 13 MB for 250, and comes only once.
WARM_UP = 400
AT_ONCE = 8
REAPED_WITHIN = 30.0  # seconds: consent takes 8.5
GROWTH_KIB = 16 * 1024  # such a peak, should the machine get quicker meanwhile; 1,000 sessions leaked would be 250 MB


def settled(daemon: Daemon) -> Footprint:
    """What the daemon holds once nobody is there and what was free was given back."""
    daemon.wait_viewers(0, REAPED_WITHIN)
    time.sleep(memory.DELAY + 1)  # nothing tells when it has happened
    # An HTTP connection of the last request may linger for a moment.
    fewest = min(len(list(Path(f"/proc/{daemon.pid}/fd").iterdir())) for _ in range(3))
    until(lambda: Footprint.of(daemon.pid).descriptors <= fewest, within=5, what="idle connections closed")
    return Footprint.of(daemon.pid)


@pytest.mark.timeout(400)
def test_a_thousand_visitors_of_whom_half_vanish_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_decoder(monkeypatch)
    camera = {"source": "test", "quality": "low", "max_viewers": 1000}
    config = {"log": {"level": "warning", "format": "json"}, "viewers": {"max": 1000}, "camera": {"front": camera}}
    with Daemon(config, tmp_path) as daemon:
        daemon.wait_ready()
        url = f"{daemon.url}/whep/front"
        asyncio.run(visits(url, WARM_UP, AT_ONCE, vanishing=1))
        before = settled(daemon)
        asyncio.run(visits(url, CYCLES, AT_ONCE))
        after = settled(daemon)
        print(before, after)
        assert after.descriptors <= before.descriptors + 1
        assert after.threads <= before.threads
        assert after.rss_kib <= before.rss_kib + GROWTH_KIB
        status = daemon.status()
        # Who leaves between the first packet and the moment in which the connection counts as such is not counted.
        assert status["viewers_served"] >= 0.98 * (WARM_UP + CYCLES)
        assert status["viewers"] == []
        assert status["cameras"][0]["restarts"] == 0
        daemon.assert_quiet()


def test_no_task_and_no_session_outlives_its_viewer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stay(stage: Scene, number: int, remembered: list[weakref.ref[object]]) -> None:
        async with Viewer() as viewer:
            key = stage.key(f"viewer-{number}")
            await viewer.accept(await stage.viewers.answer(key, await viewer.offer()))
            await asyncio.wait_for(arrival(viewer), 10)
            (session,) = [session for session in stage.viewers if session.key == key]
            remembered += [weakref.ref(session), weakref.ref(session._pc), weakref.ref(session.outlet)]
            if number % 3 == 0:
                silence(viewer)
            elif number % 3 == 1:
                await stage.viewers.close(key, "the viewer left")

    async def scenario() -> None:
        async with scene() as stage:
            remembered: list[weakref.ref[object]] = []
            await asyncio.sleep(0)
            before = {task.get_name() for task in asyncio.all_tasks()}
            await asyncio.gather(*(stay(stage, number, remembered) for number in range(12)))
            async with asyncio.timeout(REAPED_WITHIN):
                while stage.viewers._tasks:
                    await asyncio.wait(stage.viewers._tasks)
            assert len(stage.viewers) == 0
            await asyncio.sleep(0.1)  # aioice's own tasks end one turn later
            after = {task.get_name() for task in asyncio.all_tasks()}
            gc.collect()
            assert len(remembered) == 36
            assert not [reference() for reference in remembered if reference() is not None]
            assert stage.pipeline.subscribers == 0
            assert after <= before | {"srtp profiles"}

    without_decoder(monkeypatch)
    asyncio.run(scenario())
