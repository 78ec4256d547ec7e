"""`make soak`: a daemon under visitors for an hour (or --minutes), its footprint and its latency minute by minute.

One Chromium watches all the time; others come and go unless --calm. Exits 1 when descriptors, threads or memory keep
growing, when latency does, or when the one who stays missed pictures. `--watchdog` is another scene: see `load`.
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
from tests.soak.creep import LatencyTrace
from tests.soak.load import under_load
from tests.soak.watching import watcher

GROWTH_KIB = 16 * 1024  # allocators settle; a leak of one session a visit would be far above this in an hour
SETTLE_WITHIN = 30.0  # seconds until the last impolite visitor has been reaped
LOOK = 1.0  # seconds between two looks at the daemon's status
CAMERA = {"source": "test", "width": 640, "height": 360, "fps": 29.7, "bitrate_kbps": 500, "min_bitrate_kbps": 500}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long (default 60)")
    parser.add_argument("--calm", action="store_true", help="nobody but the one who stays")
    parser.add_argument("--watchdog", action="store_true", help="instead: all cores burning, one of two cameras pulled out, no alarm")
    parser.add_argument("--one-core", action="store_true", help="with --watchdog: all of it on one core, beside other work")
    options = parser.parse_args()
    if options.watchdog:
        return under_load(options.minutes * 60, one_core=options.one_core)
    with tempfile.TemporaryDirectory() as state, Daemon({"camera": {"front": CAMERA}}, Path(state)) as daemon:
        daemon.wait_ready()
        with watcher(f"{daemon.url}/view/front"):
            return soak(daemon, options.minutes * 60, calm=options.calm)


def soak(daemon: Daemon, seconds: float, *, calm: bool) -> int:
    """The exit code."""
    trace = LatencyTrace()
    url = f"{daemon.url}/whep/front"
    if not calm:
        asyncio.run(churn(url, rounds=5, at_once=4))  # caches fill, pools grow
    daemon.wait_viewers(1, SETTLE_WITHIN)
    first = Footprint.of(daemon.pid)
    print(f"start: {first}", flush=True)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        visits = minute(daemon, min(time.monotonic() + 60, end), url, trace, calm=calm)
        (watching,) = daemon.wait_viewers(1, SETTLE_WITHIN)
        latency = f"{watching['latency_p50_ms']} and {watching['latency_p95_ms']} ms"
        print(f"{visits} visits: {Footprint.of(daemon.pid)}, latency {latency}, fps {daemon.camera()['measured_fps']}", flush=True)
    last = Footprint.of(daemon.pid)
    leaks = last.descriptors > first.descriptors + 2 or last.threads > first.threads + 1
    leaks |= last.rss_kib > first.rss_kib + GROWTH_KIB
    (watching,) = daemon.wait_viewers(1, SETTLE_WITHIN)
    print(f"end: {last}: {'LEAKS' if leaks else 'flat'}; {trace}: {'CREEPS' if trace.creeps else 'flat'}", end="")
    print(f"; {watching['dropped_units']} of {watching['sent_units']} units dropped", flush=True)
    return int(leaks or trace.creeps or watching["dropped_units"] > 0)


def minute(daemon: Daemon, end: float, url: str, trace: LatencyTrace, *, calm: bool) -> int:
    """Visitors and looks until then; how many visited."""
    visits = 0
    while time.monotonic() < end:
        if calm:
            time.sleep(LOOK)
        else:
            asyncio.run(churn(url, rounds=1, at_once=4))
            visits += 4
        trace.note(daemon.status()["viewers"])
    return visits


if __name__ == "__main__":
    sys.exit(main())
