"""`make soak`: a daemon under visitors for an hour (or --minutes), its footprint minute by minute.

Exits 1 when descriptors, threads or memory keep growing.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.harness.daemons import Daemon
from tests.soak.churn import Footprint, churn

GROWTH_KIB = 16 * 1024  # allocators settle; a leak of one session a visit would be far above this in an hour
SETTLE_WITHIN = 30.0  # seconds until the last impolite visitor has been reaped


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long (default 60)")
    minutes: float = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as state, Daemon({"camera": {"front": {"source": "test"}}}, Path(state)) as daemon:
        daemon.wait_ready()
        url = f"{daemon.url}/whep/front"
        asyncio.run(churn(url, rounds=5, at_once=4))  # caches fill, pools grow
        daemon.wait_viewers(0, SETTLE_WITHIN)
        first = Footprint.of(daemon.pid)
        print(f"start: {first}", flush=True)
        end = time.monotonic() + minutes * 60
        while time.monotonic() < end:
            minute = time.monotonic() + 60
            visits = 0
            while time.monotonic() < min(minute, end):
                asyncio.run(churn(url, rounds=2, at_once=4))
                visits += 8
            daemon.wait_viewers(0, SETTLE_WITHIN)
            camera = daemon.camera()
            print(f"{visits} visits: {Footprint.of(daemon.pid)}, fps {camera['measured_fps']}", flush=True)
        last = Footprint.of(daemon.pid)
        leaks = last.descriptors > first.descriptors + 2 or last.threads > first.threads + 1
        leaks |= last.rss_kib > first.rss_kib + GROWTH_KIB
        print(f"end: {last}: {'LEAKS' if leaks else 'flat'}")
    return int(leaks)


if __name__ == "__main__":
    sys.exit(main())
