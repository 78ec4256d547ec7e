"""The main job on real input: recorded footage and a V4L2 device, each seen moving in a browser."""

from __future__ import annotations

from pathlib import Path

from tests.browser.conftest import StartDaemon
from tests.browser.scenes import FPS
from tests.browser.scenes import v4l2 as v4l2_camera
from tests.fakes.v4l2 import FakeV4l2
from tests.harness.browser import Browser


def test_surveillance_footage_is_seen_moving_at_its_own_speed(
    start_daemon: StartDaemon, browser: Browser, footage: Path
) -> None:
    daemon = start_daemon({"camera": {"yard": {"source": "file", "path": str(footage), "title": "Yard"}}})
    daemon.wait_ready()
    with browser.visit(f"{daemon.url}/view/yard") as visit:
        visit.wait_playing()
        visit.assert_moving(frames=10)
        visit.wait_for("document.getElementById('stat-resolution').textContent === '768×576'")  # noqa: RUF001
        assert visit.clock() is None, "people walking were taken for a clock"
        # The figure needs no clock in the picture.
        visit.wait_for("/^\\d+ ms · p95 \\d+ ms$/.test(document.getElementById('stat-g2g').textContent)")
        camera = daemon.wait_camera(condition="running")
        assert 8 < camera["measured_fps"] < 12
        assert str(footage) in camera["source"]
    daemon.assert_quiet()


def test_a_v4l2_device_is_seen_moving(start_daemon: StartDaemon, browser: Browser, v4l2: FakeV4l2) -> None:
    daemon = start_daemon({"camera": {"usb": v4l2_camera(v4l2.device)}}, env=v4l2.env)
    daemon.wait_ready()
    with browser.visit(f"{daemon.url}/view/usb") as visit:
        visit.wait_playing()
        visit.wait_frames(FPS)
        visit.assert_moving()
        camera = daemon.camera()
        assert "Fake Camera" in camera["source"]
        assert camera["pixel_format"] == "yuyv422"
        assert (camera["width"], camera["height"], camera["restarts"]) == (640, 480, 0)
        assert FPS / 2 < camera["measured_fps"] < FPS * 1.2
    daemon.assert_quiet()
