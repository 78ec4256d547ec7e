"""Network cameras seen in a browser: H.264 passed through untouched, decoded where it must be, and MJPEG."""

from __future__ import annotations

import time

import pytest

from tests.browser.conftest import StartDaemon
from tests.fakes.netcameras import B_FRAMES, H264, PASSWORD, MjpegCamera, RtspCamera
from tests.harness.browser import Browser
from tests.harness.waiting import until


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_h264_is_passed_through_untouched_and_survives_the_cameras_reboot(
    start_daemon: StartDaemon, browser: Browser, transport: str
) -> None:
    with RtspCamera() as server:
        daemon = start_daemon({"camera": {"gate": {**server.camera, "transport": transport}}})
        daemon.wait_ready()
        camera = daemon.camera()
        assert (camera["encoder"], camera["pixel_format"], camera["width"], camera["height"]) == ("passed through", "h264", 640, 360)
        assert camera["keyframes_on_request"] is False
        with browser.visit(f"{daemon.url}/view/gate") as visit:
            visit.wait_playing()
            visit.assert_moving()
            server.stop()
            daemon.wait_camera(condition="waiting", within=15)
            server.start()
            restarted = time.monotonic()
            daemon.wait_camera(condition="running", within=20)
            visit.wait_frames(30)
            print(f"\nback {time.monotonic() - restarted:.1f} s after the camera was up")
        assert daemon.camera()["encode_ms"] in {0.0, None}
        assert PASSWORD not in "\n".join(daemon.lines)
        assert "%40" not in "\n".join(daemon.lines)


def test_a_newcomer_need_not_wait_for_the_next_keyframe(start_daemon: StartDaemon, browser: Browser) -> None:
    with RtspCamera(H264.format(keyint=240)) as server:  # one in 8 s
        daemon = start_daemon({"camera": {"gate": server.camera}})
        daemon.wait_ready()
        keyframes = daemon.camera()["keyframes"]
        until(lambda: daemon.camera()["keyframes"] > keyframes, within=12, what="a new group of pictures")
        asked = time.monotonic()
        with browser.visit(f"{daemon.url}/view/gate") as visit:
            visit.wait_playing()
            assert time.monotonic() - asked < 4
            assert daemon.camera()["keyframes"] == keyframes + 1
            visit.assert_moving()


def test_b_frames_are_decoded_and_encoded_here(start_daemon: StartDaemon, browser: Browser) -> None:
    with RtspCamera(B_FRAMES) as server:
        daemon = start_daemon({"camera": {"gate": server.camera}})
        camera = daemon.wait_camera(condition="running", within=25)
        assert camera["encoder"] == "libx264"
        with browser.visit(f"{daemon.url}/view/gate") as visit:
            visit.wait_playing()
            visit.assert_moving()


def test_mjpeg_over_http_is_seen_moving(start_daemon: StartDaemon, browser: Browser) -> None:
    with MjpegCamera() as server:
        daemon = start_daemon({"camera": {"door": server.camera}})
        daemon.wait_ready()
        camera = daemon.camera()
        assert (camera["encoder"], camera["width"], camera["height"]) == ("libx264", 320, 240)
        with browser.visit(f"{daemon.url}/view/door") as visit:
            visit.wait_playing()
            visit.assert_moving()
        assert PASSWORD not in "\n".join(daemon.lines)


@pytest.mark.parametrize("kind", [RtspCamera, MjpegCamera])
def test_a_wrong_password_is_said_and_never_shown(start_daemon: StartDaemon, kind: type[RtspCamera] | type[MjpegCamera]) -> None:
    with kind() as server:
        daemon = start_daemon({"camera": {"gate": {**server.camera, "password": "quite-a-wrong-one"}}})
        camera = daemon.wait_camera(condition="waiting", code="camera-denied", within=15)
        assert "check username and password" in camera["detail"]
        assert "quite-a-wrong-one" not in "\n".join(daemon.lines) + daemon.get("/api/v1/status").text
