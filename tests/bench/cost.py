"""What viewers cost the sender: processor time and memory of the daemon and its capture process, from /proc.

Processor time is utime + stime of the whole processes over some seconds at each number of viewers; what one viewer adds
is the slope through these points, of the daemon alone, for the capture process does not know how many watch.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tests.bench.figures import Figure, slope
from tests.bench.scene import CAMERA, QUIET
from tests.harness.daemons import Daemon

TICK = os.sysconf("SC_CLK_TCK")
SETTLE = 1.0  # seconds after the last viewer has joined


def processor_seconds(pid: int) -> float:
    """utime + stime, proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def megabytes(pid: int) -> tuple[float, float]:
    """(resident, proportional) set size."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kib = {line.partition(":")[0]: int(line.split()[1]) for line in rollup[1:]}
    return kib["Rss"] / 1024, kib["Pss"] / 1024


def measure(directory: Path, levels: tuple[int, ...], seconds: float) -> dict[str, Figure]:
    """At each number of viewers in `levels`, `seconds` of measuring; of a fresh daemon, whose memory is not yet what
    earlier viewers left."""
    with Daemon({"log": QUIET, "camera": {"front": CAMERA}}, directory) as daemon:
        daemon.wait_ready()
        return _measure(daemon, levels, seconds)


def _measure(daemon: Daemon, levels: tuple[int, ...], seconds: float) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    processor: list[tuple[float, float]] = []
    resident: list[tuple[float, float]] = []
    proportional: list[tuple[float, float]] = []
    (child,) = daemon.capture_processes
    with _receivers(f"{daemon.url}/whep/front") as pipe:
        for viewers in levels:
            _raise_to(pipe, viewers)
            daemon.wait_viewers(viewers)
            time.sleep(SETTLE)
            share, child_share, packets = _over(daemon, child, seconds)
            processor.append((viewers, share))
            rss, pss = megabytes(daemon.pid)
            resident.append((viewers, rss))
            proportional.append((viewers, pss))
            found[f"cpu_{viewers}_viewers_pct"] = Figure(f"daemon with {viewers} viewers", "% of a core", share)
    per_viewer = slope(processor)
    found |= {
        "cpu_capture_pct": Figure("capture process (draw, encode)", "% of a core", child_share),
        "cpu_per_viewer_pct": Figure("each further viewer", "% of a core", per_viewer),
        "cpu_per_packet_us": Figure("the same per packet", "µs", per_viewer / 100 / packets * 1e6 if packets else 0.0),
        "rss_mb": Figure(f"daemon's memory without viewers (PSS {proportional[0][1]:.0f})", "MB", resident[0][1]),
        "rss_per_viewer_mb": Figure("each further viewer, resident", "MB", slope(resident)),
        "pss_per_viewer_mb": Figure("each further viewer, proportional", "MB", slope(proportional)),
    }
    return found


def _over(daemon: Daemon, child: int, seconds: float) -> tuple[float, float, float]:
    """Percent of a core for daemon and capture process, and packets a second to one viewer."""
    sent = _packets(daemon)
    begun = time.monotonic()
    before = processor_seconds(daemon.pid), processor_seconds(child)
    time.sleep(seconds)
    took = time.monotonic() - begun
    after = processor_seconds(daemon.pid), processor_seconds(child)
    more = _packets(daemon)
    rates = [(more[viewer] - sent[viewer]) / took for viewer in sent]
    mine, theirs = (100 * (later - earlier) / took for earlier, later in zip(before, after, strict=True))
    return mine, theirs, sum(rates) / len(rates) if rates else 0.0


def _packets(daemon: Daemon) -> dict[str, int]:
    return {viewer["id"]: viewer["sent_packets"] or 0 for viewer in daemon.status()["viewers"]}


@contextmanager
def _receivers(url: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.receivers", url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        _ends(process.stdin)
        try:
            process.wait(15)
        finally:
            process.kill()
            process.wait()
            _ends(process.stdout)


def _raise_to(process: subprocess.Popen[str], viewers: int) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    print(viewers, file=process.stdin, flush=True)
    answer = process.stdout.readline()
    if answer != "ready\n":
        raise RuntimeError(f"the receivers ended with {process.wait()}")


def _ends(pipe: IO[str] | None) -> None:
    assert pipe is not None
    pipe.close()
