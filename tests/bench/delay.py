"""Added send delay: 100 viewers, the daemon on one core; from a unit's leaving the capture process until the kernel
hands the last of its packets to a viewer's socket, on one clock.

The daemon wakes up, reads, packetises, encrypts and sends in between. The receiver's kernel stamps the packet before
any receiver wakes up; receivers and capture process have the other core. RTP timestamps are the capture times behind a
random offset per viewer, which is found as the one that makes its packets come just after some unit was sent.
"""

from __future__ import annotations

import struct
import time
from bisect import bisect_right
from collections import Counter
from pathlib import Path

from tests.bench.contestants import Serving, edgecam_daemon
from tests.bench.crowd import Crowd
from tests.bench.figures import Figure
from tests.bench.viewers import SETTLE, processor_seconds, resident_mb

CORE, OTHER_CORE = 0, 1


def measure(directory: Path, viewers: int, seconds: float) -> dict[str, Figure]:
    """Every unit of `seconds`, for every viewer."""
    log = directory / "sent"
    directory.mkdir(parents=True, exist_ok=True)
    log.touch()
    env = {"REPLAY_LOG": str(log), "BENCH_CORE": str(CORE)}
    with edgecam_daemon(directory, env=env) as daemon:
        daemon.wait_ready()
        serving = Serving(daemon.pid, "whep", f"{daemon.url}/whep/front")
        with Crowd(serving, markers=True, core=OTHER_CORE) as crowd:
            few = max(1, viewers // 10)  # the first ones pay for what all share
            crowd.raise_to(few)
            time.sleep(SETTLE)
            before = resident_mb(daemon.pid)
            crowd.raise_to(viewers)
            time.sleep(SETTLE)
            crowd.arrivals()
            begun, used = time.monotonic(), processor_seconds(daemon.pid)
            time.sleep(seconds)
            share = 100 * (processor_seconds(daemon.pid) - used) / (time.monotonic() - begun)
            arrivals = crowd.arrivals()
            memory = (resident_mb(daemon.pid) - before) / (viewers - few)
    sent = [at for (at,) in struct.iter_unpack("=q", log.read_bytes())]
    delays = [delay for viewer in arrivals for delay in _delays(viewer, sent)]
    assert delays, "no viewer got anything"
    figure = Figure.of(f"added send delay, {viewers} viewers, daemon on one core", "ms", delays)
    return {
        "send_delay_ms": figure,
        "send_delay_p99_ms": Figure("the same, 99th percentile (keyframes leave paced)", "ms", _percentile(delays, 0.99)),
        "cpu_crowd_pct": Figure(f"daemon with {viewers} viewers", "% of a core", share),
        "rss_crowd_mb": Figure(f"memory of each viewer more, up to {viewers}", "MB", memory),
    }


def _percentile(samples: list[float], share: float) -> float:
    return sorted(samples)[int(share * len(samples))]


def _ticks(nanoseconds: int) -> int:
    return nanoseconds * 9 // 100_000


def _delays(arrivals: list[tuple[int, int]], sent: list[int]) -> list[float]:
    """Milliseconds for each arrival (RTP timestamp, ns) of one viewer; `sent` in order, ns."""
    by_ticks = {_ticks(at) & 0xFFFFFFFF: at for at in sent}
    offsets: Counter[int] = Counter()
    for stamp, arrived in arrivals:
        last = bisect_right(sent, arrived) - 1
        for unit in sent[max(0, last - 3) : last + 1]:
            offsets[(stamp - _ticks(unit)) & 0xFFFFFFFF] += 1
    if not offsets:
        return []
    offset = offsets.most_common(1)[0][0]
    found = []
    for stamp, arrived in arrivals:
        unit_sent = by_ticks.get((stamp - offset) & 0xFFFFFFFF)
        if unit_sent is not None:
            found.append((arrived - unit_sent) / 1e6)
    return found
