"""Every core burning, one of two cameras pulled out, somebody watching the other: nothing is frozen, so nothing may be restarted."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fakes.v4l2 import FakeV4l2, build_fake_v4l2
from tests.harness.processes import HOME
from tests.harness.servicemanager import Service
from tests.peers.background import Watching

WATCHDOG = 20.0  # seconds, as in systemd/edgecam.service
CAMERA = {"source": "test", "width": 640, "height": 360, "fps": 29.7, "bitrate_kbps": 500}
LEAST_FPS = 10.0  # that the viewer still gets while everything burns
OPENS_WITHIN = 30.0  # seconds, while everything burns
BURN = "while True: pass"


@contextmanager
def burners(count: int) -> Iterator[None]:
    """So many processes that want all of a core, as important as we are."""
    burning = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(count)]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


def under_load(seconds: float, *, one_core: bool) -> int:
    """The exit code. `one_core`: the daemon, its camera, its viewer and three burners share one, the rest of the machine is free."""
    count = os.cpu_count() or 1
    if one_core:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        count = 3
    with tempfile.TemporaryDirectory() as directory:
        device = FakeV4l2(build_fake_v4l2(HOME / ".cache" / "fakes"), Path(directory) / "video9")
        device.plug()
        yard = {"source": "v4l2", "device": str(device.device), "width": 640, "height": 480}
        config = {"camera": {"front": CAMERA, "yard": yard}}
        with Service(config, Path(directory), WATCHDOG, device.env) as running, Watching(running.daemon.url, "front") as watching:
            running.daemon.wait_camera("yard", within=OPENS_WITHIN, condition="running")
            with burners(count):
                return watch(running, watching, device, seconds)


def watch(running: Service, watching: Watching, device: FakeV4l2, seconds: float) -> int:
    """The exit code. The device is pulled out for that long, and has to be back afterwards."""
    daemon, pid = running.daemon, running.daemon.pid
    device.unplug()
    daemon.wait_camera("yard", within=OPENS_WITHIN, code="camera-absent")
    children = daemon.capture_processes
    before, began, end = watching.frames, time.monotonic(), time.monotonic() + seconds
    while time.monotonic() < end and not running.restarts:
        time.sleep(min(60.0, max(0.0, end - time.monotonic())))
        fps = (watching.frames - before) / (time.monotonic() - began)
        waited = f"watchdog waited {running.hungriest:.1f} s at most"
        print(f"{time.monotonic() - began:.0f} s: {fps:.1f} pictures/s shown, {waited}", flush=True)
    alarms = [e for e in daemon.logged("component.state", state="waiting") if e["component"] in {"supervisor", "fanout", "camera.front"}]
    wrong = {
        "restarts": running.restarts,
        "another process": daemon.pid != pid,
        "other capture processes": daemon.capture_processes != children,
        "alarms": alarms,
        "withheld": daemon.logged("watchdog.withheld"),
        "the absent camera is not told": "camera-absent" not in running.status,
        "the absent camera does not come back": not comes_back(running, device),
    }
    if not running.frozen:  # who stands still for seconds loses its viewers, and rightly so
        wrong["viewer"] = watching.state != "connected"
        wrong["too few pictures"] = (watching.frames - before) / (time.monotonic() - began) < LEAST_FPS
    failed = {what: value for what, value in wrong.items() if value}
    if failed:
        print(*daemon.lines[-40:], sep="\n")
    print(f"end: {failed or 'no false alarm'}, the machine stood still for {running.frozen:.0f} s", flush=True)
    return int(bool(failed))


def comes_back(running: Service, device: FakeV4l2) -> bool:
    """Whether the camera gives pictures when it is plugged in again."""
    device.plug()
    try:
        running.daemon.wait_camera("yard", within=OPENS_WITHIN, condition="running")
    except AssertionError:
        return False
    return True
