"""What freezes, and what becomes of it: the service is started anew, or a capture process, or nothing at all."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.freezing import Freezer
from tests.harness.servicemanager import Service
from tests.harness.waiting import until
from tests.peers.background import Watching

WATCHDOG = 20.0  # seconds, as in systemd/edgecam.service
CAMERA = {"source": "test", "width": 320, "height": 240, "fps": 15.0}
BUSY = 3.0  # seconds more on a machine that does other things too


@contextmanager
def service(directory: Path, freezer: Freezer, watchdog: float = WATCHDOG, **cameras: Any) -> Iterator[Service]:
    with Service({"camera": cameras or {"front": CAMERA}}, directory, watchdog, freezer.env) as running:
        yield running


@pytest.fixture
def freezer(tmp_path: Path) -> Freezer:
    return Freezer(tmp_path / "freeze")


def frozen(running: Service, freezer: Freezer, part: str) -> float:
    """When that part of the daemon was frozen, CLOCK_MONOTONIC seconds."""
    freezer.freeze(running.daemon.pid, part)
    return time.monotonic()


@pytest.mark.parametrize("how", ["a callback that does not come back", "stopped"])
def test_a_frozen_event_loop_has_the_service_restarted(how: str, tmp_path: Path, freezer: Freezer) -> None:
    """With a short WATCHDOG: nothing but the loop decides here, and the time it takes is systemd's."""
    with service(tmp_path, freezer, watchdog=4.0) as running:
        if how == "stopped":
            at = time.monotonic()
            running.daemon.signal(signal.SIGSTOP)
        else:
            at = frozen(running, freezer, "loop")
        restart = running.wait_restart(1, within=4.0 + BUSY)
        assert restart.why == "watchdog"
        assert restart.at - at <= 4.0 + BUSY
        running.daemon.wait_ready()
        if how != "stopped":
            stacks = "\n".join(running.daemon.lines)
            assert "Fatal Python error: Aborted" in stacks, "where it hung stands in the journal"
            assert "sitecustomize.py" in stacks


@pytest.mark.parametrize("part", ["backoff", "attempt", "ended"])
def test_a_frozen_supervisor_has_the_service_restarted_within_watchdog_sec(
    part: str, tmp_path: Path, freezer: Freezer
) -> None:
    """Its camera has just died, so that it had something to do. The other one, and its viewer, would hide it."""
    with service(tmp_path, freezer, front=CAMERA, yard=CAMERA) as running:
        freezer.freeze(running.daemon.pid, part)
        if part != "ended":
            os.kill(running.daemon.capture_processes[0], signal.SIGKILL)
        at = time.monotonic()
        restart = running.wait_restart(1, within=WATCHDOG)
        assert restart.why == "trigger"
        assert restart.at - at <= WATCHDOG
        said = running.daemon.logged("component.state", component="supervisor", code="supervisor-stuck")
        assert said
        assert any("[supervisor-stuck]" in status for status in running.statuses)
        running.daemon.wait_ready()


def test_a_camera_on_demand_that_nothing_opens_has_the_service_restarted(tmp_path: Path, freezer: Freezer) -> None:
    with service(tmp_path, freezer, front={**CAMERA, "capture": "on-demand"}) as running:
        running.daemon.wait_camera(within=10, code="on-demand")
        freezer.freeze(running.daemon.pid, "shutter")
        with pytest.raises(AssertionError, match="1 more pictures"), Watching(running.daemon.url, "front", within=6.0):
            pass
        assert running.wait_restart(1, within=WATCHDOG).why == "trigger"
        with Watching(running.daemon.url, "front") as watching:
            watching.wait_frames(3, within=10)
        assert running.daemon.logged("watchdog.withheld", stuck=["camera front is needed and stays closed"])


@pytest.mark.parametrize("part", ["publish", "deliver", "pacer"])
def test_a_frozen_fan_out_has_the_service_restarted_within_watchdog_sec(
    part: str, tmp_path: Path, freezer: Freezer
) -> None:
    camera = {**CAMERA, "width": 1280, "height": 720, "keyframe_interval": 0.5}  # keyframes go in steps
    with service(tmp_path, freezer, front=camera) as running, Watching(running.daemon.url, "front") as watching:
        watching.wait_frames(5, within=10)
        at = frozen(running, freezer, part)
        restart = running.wait_restart(1, within=WATCHDOG)
        assert restart.why == "trigger"
        assert restart.at - at <= WATCHDOG
        assert running.daemon.logged("component.state", component="fanout", code="fanout-stuck")
        running.daemon.wait_ready()


@pytest.mark.parametrize("part", ["process", "encoder", "sensor"])
def test_a_frozen_capture_process_is_replaced_within_five_seconds_and_the_viewer_stays(
    part: str, tmp_path: Path, freezer: Freezer
) -> None:
    with service(tmp_path, freezer) as running, Watching(running.daemon.url, "front") as watching:
        (child,) = running.daemon.capture_processes
        pid = running.daemon.pid
        watching.wait_frames(5, within=10)
        if part == "process":
            os.kill(child, signal.SIGSTOP)
        else:
            freezer.freeze(child, part)
        at = time.monotonic()
        until(
            lambda: running.daemon.capture_processes not in ([child], []),
            within=5.0,
            what="another capture process",
            explain=running.daemon.camera,
        )
        replaced = time.monotonic() - at
        watching.wait_frames(10, within=BUSY + 5)
        assert replaced <= 5.0
        assert running.daemon.pid == pid
        assert watching.state == "connected"
        assert running.restarts == []
        assert running.daemon.camera()["escalations"]["restart"] == 1
        (one,) = running.daemon.wait_viewers(1)
        assert one["camera"] == "front"
