"""picamera2 and libcamera as Debian 13 has them, on libcamera's virtual cameras: pictures, keyframes, bitrate, controls, faults."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.m2m import BITRATE, FORCE_KEY_FRAME, REPEAT_SEQ_HEADER, FakeM2m, build_fake_m2m
from tests.harness.browser import Browser, running_browser
from tests.harness.daemons import Daemon
from tests.harness.processes import alive
from tests.harness.waiting import until
from tests.machines import libcamera
from tests.machines.cache import ROOT

pytestmark = pytest.mark.timeout(600)  # the first one may have a Debian to unpack
CAMERA = {"source": "picamera2", "width": 640, "height": 480, "fps": 30, "bitrate_kbps": 1000}


class LibcameraDaemon(Daemon):
    """`edgecam run` where libcamera is."""

    def __init__(self, config: dict[str, Any], state_dir: Path) -> None:
        self.python = libcamera.python()
        super().__init__(config, state_dir, env=libcamera.environment())


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """What the scenes of `libcamera_scene.py` showed, played once."""
    played = libcamera.run_python("-m", "tests.machines.libcamera_scene", seconds=300)
    assert played.returncode == 0, played.stderr[-4000:]
    scenes = json.loads(played.stdout)
    assert isinstance(scenes, dict)
    return scenes


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as chromium:
        yield chromium


def test_pictures_come_at_the_cameras_rate_with_the_sensors_time(seen: dict[str, Any]) -> None:
    shown = seen["everything"]
    assert shown["source"] == "picamera2 striped (front)"
    assert shown["begins_with_keyframe"]
    assert shown["fps"] == pytest.approx(30, abs=1.5)
    ages = shown["age_ms"]
    assert ages[0] > 0
    assert ages[0] < 30  # the rest is as late as the machine is busy
    print(f"\nexposure to access unit in the daemon: {ages[len(ages) // 2]:.1f} ms median, {ages[-1]:.1f} ms at most, at 640x480")


def test_a_keyframe_is_made_when_asked_for_and_the_bitrate_follows(seen: dict[str, Any]) -> None:
    shown = seen["everything"]
    assert shown["keyframe_ms"] < 3000
    assert shown["at_200000"] < 240_000
    assert shown["at_1000000"] > 1.3 * shown["at_200000"]
    assert shown["same_process"]
    print(f"\nkeyframe after {shown['keyframe_ms']:.0f} ms; {shown['at_1000000']:.0f} and {shown['at_200000']:.0f} bit/s")


def test_the_smaller_rendition_is_the_isps_second_stream(seen: dict[str, Any]) -> None:
    shown = seen["everything"]
    assert shown["lower_begins_with_keyframe"]
    assert shown["lower_in_step"]
    # The stripes of each virtual stream move by one of its own pixels: scaled down, that is half a pixel.
    assert shown["lower_speed"] == pytest.approx(1, abs=0.2)
    assert seen["scaled"]["lower_speed"] == pytest.approx(0.5, abs=0.2)


def test_controls_are_listed_and_set_while_it_runs_by_the_same_process(seen: dict[str, Any]) -> None:
    shown = seen["everything"]
    before, after = ({each["name"]: each for each in shown[when]} for when in ("controls", "after"))
    assert (before["FrameDurationLimits"]["minimum"], before["FrameDurationLimits"]["maximum"]) == (33333, 200000)
    assert before["FrameDurationLimits"]["value"] == [33333, 33333]
    assert after["FrameDurationLimits"]["value"] == [100000, 100000]
    assert set(before["FaceDetectMode"]["choices"]) == {"Full", "Off", "Simple"}
    assert shown["slow_fps"] == pytest.approx(10, abs=0.5)
    assert shown["same_process"]


def test_a_control_that_there_is_not_is_refused_with_what_there_is(seen: dict[str, Any]) -> None:
    refused = seen["everything"]["refused"]
    assert refused["Brightness"] == "there is no control Brightness; there are FaceDetectMode, FrameDurationLimits"
    assert refused["FrameDurationLimits"] == "FrameDurationLimits = 1 is out of range; it goes from 33333 to 200000"
    assert refused["FaceDetectMode"] == 'FaceDetectMode = "Fancy" is not one of its values; they are Full, Off, Simple'
    assert refused["FrameRate"].startswith('FrameRate = "fast" is no frame rate')
    assert seen["wrong_control"]["source"] == "picamera2 striped (front)"  # in the configuration: the camera is shown all the same
    assert seen["roi"]["message"] == "this camera cannot show a part of its picture"


def test_a_camera_is_found_by_its_model_and_one_that_is_not_there_is_said_to_be_absent(seen: dict[str, Any]) -> None:
    assert seen["by_model"]["source"] == "picamera2 barred (back)"
    assert seen["absent"]["code"] == "camera-absent"
    assert seen["absent"]["remedy"] == "libcamera sees striped (front), barred (back)"


def test_a_killed_process_is_noticed_and_the_next_one_has_the_camera(seen: dict[str, Any]) -> None:
    assert seen["killed"]["code"] == "capture-crashed"
    assert "SIGKILL" in seen["killed"]["message"]
    assert seen["start_s"] < 5
    print(f"\nfrom its end to the next picture {seen['start_s']:.1f} s")


def test_chromium_sees_it_move_and_controls_change_over_http(browser: Browser, tmp_path: Path) -> None:
    with LibcameraDaemon({"camera": {"front": CAMERA}}, tmp_path) as daemon:
        daemon.wait_camera("front", condition="running")
        (child,) = daemon.capture_processes
        with browser.visit(f"{daemon.url}/view/front") as visit:
            visit.wait_playing()
            visit.assert_moving()
            reply = daemon.request("PATCH", "/api/v1/cameras/front/controls", '{"FrameRate": 10}', {"Content-Type": "application/json"})
            assert reply.status == 200, reply
            values = {each["name"]: each["value"] for each in reply.json["controls"]}
            assert values["FrameDurationLimits"] == [100000, 100000]
            assert daemon.get("/api/v1/cameras/front/controls").json["controls"] == reply.json["controls"]
            wrong = daemon.request("PATCH", "/api/v1/cameras/front/controls", '{"Gain": 3}', {"Content-Type": "application/json"})
            assert (wrong.status, wrong.json["code"]) == (400, "control-refused")
            visit.wait_frames(10)
            assert alive(child)
            visit.mark_connection()
            os.kill(child, signal.SIGKILL)
            until(lambda: daemon.capture_processes not in ([], [child]), within=10, what="another capture process")
            visit.wait_frames(15)
            visit.assert_same_connection()


def test_without_picamera2_it_says_what_to_install(tmp_path: Path) -> None:
    with Daemon({"camera": {"front": CAMERA}}, tmp_path) as daemon:
        camera = daemon.wait_camera("front", condition="waiting")
        assert camera["code"] == "picamera-missing"
        assert "apt install python3-picamera2" in daemon.get("/api/v1/status").text


def test_probe_lists_the_cameras_with_modes_and_controls() -> None:
    probed = libcamera.run_python("-m", "edgecam", "probe", "--json")
    assert probed.returncode == 0, probed.stderr
    striped, barred = json.loads(probed.stdout)["libcamera"]
    assert (striped["id"], striped["model"], barred["id"], barred["model"]) == ("front", "striped", "back", "barred")
    assert [line.split()[0] for line in striped["controls"]] == ["FaceDetectMode", "FrameDurationLimits"]
    assert striped["modes"][0].startswith("NV12: ")
    assert "640x480" in striped["modes"][0]
    assert striped["error"] == ""


@pytest.fixture(scope="module")
def in_hardware(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], FakeM2m]:
    """What a V4L2 encoder as that of a Raspberry Pi 4 did, driven by picamera2's H264Encoder."""
    encoder = FakeM2m(build_fake_m2m(ROOT / ".cache" / "fakes"), tmp_path_factory.mktemp("m2m"))
    encoder.install()
    own = libcamera.environment()
    extra = {**encoder.env, "LD_PRELOAD": f"{encoder.library}:{own['LD_PRELOAD']}"}
    played = libcamera.run_python("-m", "tests.machines.libcamera_scene", "in_hardware", extra=extra, seconds=200)
    assert played.returncode == 0, played.stderr[-4000:]
    return json.loads(played.stdout), encoder


def test_picamera2s_hardware_encoder_reads_the_cameras_buffers(in_hardware: tuple[dict[str, Any], FakeM2m]) -> None:
    shown, _encoder = in_hardware
    assert (shown["encoder"], shown["reason"], shown["profile"]) == ("picamera2", "picamera2 encodes in hardware", "42c01e")
    assert shown["begins_with_keyframe"]
    decoded, sent, *size = shown["decoded"]
    assert decoded == sent
    assert size == [640, 480]
    assert 0 < shown["age_ms"][0] < 30
    assert shown["lower"]


def test_its_keyframes_and_its_bitrate_are_set_on_the_open_device(in_hardware: tuple[dict[str, Any], FakeM2m]) -> None:
    shown, encoder = in_hardware
    assert shown["keyframes"] == 1
    assert shown["keyframe_ms"] < 3000
    assert shown["headers"] == [True, True]
    assert shown["at_1000000"] > 1.3 * shown["at_200000"]
    assert encoder.set_to(BITRATE) == [1_000_000, 1_000_000, 1_000_000, 200_000]
    assert encoder.set_to(REPEAT_SEQ_HEADER) == [1]
    assert len(encoder.set_to(FORCE_KEY_FRAME)) == 3  # the trial, the first picture, and the one that was asked for
    assert shown["same_process"]


def test_a_hardware_encoder_that_somebody_else_has_is_done_without(tmp_path: Path) -> None:
    encoder = FakeM2m(build_fake_m2m(ROOT / ".cache" / "fakes"), tmp_path)
    encoder.install("busy")
    own = libcamera.environment()
    extra = {**encoder.env, "LD_PRELOAD": f"{encoder.library}:{own['LD_PRELOAD']}"}
    played = libcamera.run_python("-m", "tests.machines.libcamera_scene", "opened", extra=extra, seconds=100)
    assert played.returncode == 0, played.stderr[-4000:]
    shown = json.loads(played.stdout)
    assert shown["encoder"] == "libx264"
    assert shown["reason"].startswith("picamera2: Device or resource busy; ")
