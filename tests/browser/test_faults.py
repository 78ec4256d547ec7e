"""A camera that hangs, breaks, is pulled out or crashes while somebody watches: the same viewer sees it come back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.browser.conftest import StartDaemon
from tests.browser.scenes import v4l2 as v4l2_camera
from tests.fakes.v4l2 import FakeV4l2
from tests.harness.browser import Browser, Visit
from tests.harness.daemons import Daemon
from tests.harness.waiting import until

BACK_WITHIN = 5.0  # seconds from the device's being back to its picture's moving in the browser


@dataclass(slots=True)
class Scene:
    """A V4L2 camera with one viewer who sees it moving."""

    device: FakeV4l2
    daemon: Daemon
    visit: Visit
    identity: str = field(init=False)

    def __post_init__(self) -> None:
        self.visit.wait_playing()
        self.visit.mark_connection()
        (viewer,) = self.daemon.wait_viewers(1)
        self.identity = viewer["id"]

    def break_it(self, state: str, code: str) -> None:
        """Put the device into a state, and wait until the daemon calls it by its name."""
        self.device.set(state)
        self.daemon.wait_camera(within=10, condition="waiting", code=code)

    def assert_back(self, since: float) -> None:
        """Pictures move again within five seconds, for the same viewer on the same connection."""
        self.visit.wait_frames(10, within=BACK_WITHIN - (time.monotonic() - since))
        camera = self.daemon.wait_camera(within=2, condition="running")
        assert camera["restarts"] >= 1
        self.visit.assert_same_connection()
        (viewer,) = self.daemon.wait_viewers(1)
        assert viewer["id"] == self.identity
        self.visit.wait_for("document.getElementById('player').dataset.state === 'playing'")
        self.visit.assert_moving()
        assert self.daemon.get("/readyz").status == 200

    def assert_told(self, code: str) -> None:
        """The log has said what happened: the fault once, and the recovery."""
        told = self.daemon.logged("component.state", component="camera.usb", state="waiting", code=code)
        assert told
        assert told[0]["detail"]
        assert told[0]["level"] == "warning"
        assert len(self.daemon.logged("camera.opened")) >= 2


@pytest.fixture
def scene(start_daemon: StartDaemon, browser: Browser, v4l2: FakeV4l2) -> Iterator[Scene]:
    daemon = start_daemon({"camera": {"usb": v4l2_camera(v4l2.device, stall_timeout=1.5)}}, env=v4l2.env)
    daemon.wait_ready()
    with browser.visit(f"{daemon.url}/view/usb") as visit:
        yield Scene(v4l2, daemon, visit)
    daemon.assert_quiet()


@pytest.mark.parametrize(
    ("state", "code"), [("hang", "camera-stalled"), ("eio", "camera-io"), ("enodev", "camera-absent")]
)
def test_a_device_that_fails_is_back_within_five_seconds_of_its_recovery(scene: Scene, state: str, code: str) -> None:
    scene.break_it(state, code)
    ready = scene.daemon.get("/readyz")
    assert ready.status == 503
    assert code in ready.text
    scene.device.plug()
    scene.assert_back(time.monotonic())
    scene.assert_told(code)


def test_a_camera_pulled_out_and_plugged_in_again_is_back_within_five_seconds(scene: Scene) -> None:
    scene.device.unplug()
    scene.daemon.wait_camera(within=10, condition="waiting", code="camera-absent")
    scene.visit.wait_for("document.getElementById('player').dataset.state === 'frozen'", within=6)
    assert "No new pictures" in scene.visit.page.locator("#frozen").inner_text()
    assert scene.daemon.capture_processes == [], "a capture process for a camera that is not there"
    scene.device.plug()
    scene.assert_back(time.monotonic())
    scene.assert_told("camera-absent")


def test_a_camera_that_was_away_for_a_long_time_is_back_as_fast_to_the_same_viewer(scene: Scene) -> None:
    scene.device.unplug()
    frozen_for = "Number((document.getElementById('frozen').textContent.match(/\\d+/) ?? [0])[0])"
    scene.visit.wait_for(f"{frozen_for} >= 18", within=40)
    scene.device.plug()
    scene.assert_back(time.monotonic())


def test_a_camera_that_hangs_for_a_moment_needs_no_new_process(scene: Scene) -> None:
    children = scene.daemon.capture_processes
    scene.device.set("hang")
    until(lambda: scene.daemon.camera()["last_frame_age_s"] > 0.2, within=5, what="the camera hangs")
    scene.device.plug()
    scene.visit.wait_frames(10)
    assert scene.daemon.capture_processes == children
    assert scene.daemon.camera()["restarts"] == 0
    scene.visit.assert_same_connection()


def test_a_killed_capture_process_is_replaced_within_five_seconds(scene: Scene) -> None:
    (child,) = scene.daemon.capture_processes
    os.kill(child, signal.SIGKILL)
    scene.assert_back(time.monotonic())
    assert scene.daemon.capture_processes != [child]
    scene.assert_told("capture-crashed")


def test_a_camera_that_fails_again_and_again_keeps_its_viewer(scene: Scene) -> None:
    for number, (state, code) in enumerate([("eio", "camera-io"), ("hang", "camera-stalled"), ("eio", "camera-io")], 1):
        scene.break_it(state, code)
        scene.device.plug()
        scene.assert_back(time.monotonic())
        assert scene.daemon.camera()["restarts"] == number
