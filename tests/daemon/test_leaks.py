"""What visitors leave behind in the daemon: nothing. `make soak` does the same for an hour."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.harness.daemons import Daemon
from tests.soak.churn import Footprint, churn


def test_forty_visitors_leave_no_session_descriptor_or_thread_behind(tmp_path: Path) -> None:
    with Daemon({"camera": {"front": {"source": "test", "quality": "low"}}}, tmp_path) as daemon:
        daemon.wait_ready()
        url = f"{daemon.url}/whep/front"
        asyncio.run(churn(url, rounds=3, at_once=4))
        daemon.wait_viewers(0)
        before = Footprint.of(daemon.pid)
        asyncio.run(churn(url, rounds=10, at_once=4))
        daemon.wait_viewers(0)
        after = Footprint.of(daemon.pid)
        assert after.descriptors <= before.descriptors + 2  # an HTTP connection of the last request may linger
        assert after.threads <= before.threads + 1
        assert after.rss_kib <= before.rss_kib + 8 * 1024
        status = daemon.status()
        assert status["viewers_served"] == 52
        assert status["cameras"][0]["restarts"] == 0
