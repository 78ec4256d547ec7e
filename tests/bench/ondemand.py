"""A camera that is closed while nobody watches: how long the first picture takes then, and what waiting for somebody costs.

From `new RTCPeerConnection` on a bare page to its first requestVideoFrameCallback, with the device (the fake V4L2 camera, 1280x720
YUYV at 30) closed and the capture process standing by. Idle: the processor time of daemon and capture process together over some
seconds in which nobody asks for anything, and the memory of each (PSS).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.contestants import ROOT
from tests.bench.figures import Figure
from tests.bench.joins import BARE
from tests.bench.scene import QUIET
from tests.bench.viewers import processor_seconds
from tests.fakes.v4l2 import FakeV4l2, build_fake_v4l2
from tests.harness.browser import Browser, running_browser
from tests.harness.daemons import Daemon

SETTLE = 2.0  # seconds after the last viewer
STANDING_BY = 0.5  # seconds in which a process has loaded everything


def measure(directory: Path, joins: int, seconds: float) -> dict[str, Figure]:
    """`joins` warm ones and a cold one before them; idle for `seconds`."""
    directory.mkdir(parents=True, exist_ok=True)
    camera = FakeV4l2(build_fake_v4l2(ROOT / ".cache" / "fakev4l2"), directory / "video0")
    camera.plug()
    section = {"device": str(camera.device), "input_format": "yuyv", "capture": "on-demand", "linger": 0}
    with Daemon({"log": QUIET, "camera": {"front": section}}, directory / "daemon", env=camera.env) as daemon:
        daemon.wait_camera("front", condition="resting", code="on-demand")
        with running_browser() as browser:
            took = _joins(daemon, browser, joins + 1)
        daemon.wait_camera("front", condition="resting", code="on-demand")
        time.sleep(SETTLE)
        (standing_by,) = daemon.capture_processes
        idle = _idle((daemon.pid, standing_by), seconds)
        memory = {"daemon": _pss(daemon.pid), "standby": _pss(standing_by)}
    return {
        "first_frame_on_demand_ms": Figure.of("first frame, bare page over WHEP, device closed before", "ms", took[1:], first=took[0]),
        "idle_on_demand_pct": Figure("idle on demand, daemon and capture process", "% of a core", idle),
        "idle_daemon_pss_mb": Figure("idle on demand, memory of the daemon (PSS)", "MB", memory["daemon"]),
        "standby_pss_mb": Figure("memory of a capture process that stands by (PSS)", "MB", memory["standby"]),
    }


def _joins(daemon: Daemon, browser: Browser, joins: int) -> list[float]:
    found = []
    with browser.visit(f"{daemon.url}/healthz") as visit:
        for _ in range(joins):
            daemon.wait_camera("front", condition="resting", code="on-demand", device="closed")
            time.sleep(STANDING_BY)
            found.append(float(visit.page.evaluate(BARE, {"iceServers": [], "relayed": False})))
    return found


def _idle(pids: Sequence[int], seconds: float) -> float:
    """Percent of a core that they use together."""
    before, begun = sum(map(processor_seconds, pids)), time.monotonic()
    time.sleep(seconds)
    return 100 * (sum(map(processor_seconds, pids)) - before) / (time.monotonic() - begun)


def _pss(pid: int) -> float:
    """Megabytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    (kilobytes,) = [int(line.split()[1]) for line in lines if line.startswith("Pss:")]
    return kilobytes / 1000
