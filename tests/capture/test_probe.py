"""What `edgecam probe` finds."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from edgecam.capture import probe
from edgecam.capture.probe import probe_report
from tests.capture.watching import child_pids
from tests.fakes.m2m import FakeM2m, build_fake_m2m
from tests.fakes.v4l2 import FakeV4l2


def test_a_camera_is_found_with_its_formats_and_an_encoder_with_the_reason(usb2_camera: FakeV4l2) -> None:
    report = probe_report([str(usb2_camera.device)])
    (camera,) = report.cameras
    assert (camera.name, camera.driver, camera.error) == ("Fake Camera", "fakev4l2", "")
    assert [offered.fourcc for offered in camera.formats] == ["YUYV", "MJPG"]
    assert camera.formats[1].sizes == ("640x480", "1280x720")
    assert report.chosen_camera == str(usb2_camera.device)
    assert report.encoder == "libx264"
    assert report.encoder_reason.startswith("h264_v4l2m2m: ")
    assert report.profile_level_id == "42c01f"


def test_the_report_is_json_and_readable(raw_camera: FakeV4l2) -> None:
    report = probe_report([str(raw_camera.device)])
    assert json.loads(json.dumps(report.as_dict()))["cameras"][0]["formats"][0]["fourcc"] == "YUYV"
    text = report.render()
    assert "Fake Camera" in text
    assert f'device = "{raw_camera.device}"' in text
    assert "libx264" in text
    assert "control auto_exposure = 3  (menu, 1 Manual Mode, 3 Aperture Priority Mode; default 3)" in text
    assert "tried    h264_" in text
    assert "sound    " in text


def test_a_camera_that_encodes_says_whether_it_makes_keyframes_on_request(raw_camera: FakeV4l2, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_V4L2_H264", str(raw_camera.device.parent))
    assert "H264 H.264: 1280x720  (passed through; makes keyframes on request)" in probe_report([str(raw_camera.device)]).render()
    monkeypatch.setenv("FAKE_V4L2_H264_DEAF", "1")
    assert "makes keyframes when it likes" in probe_report([str(raw_camera.device)]).render()


def test_an_encoder_of_the_machine_is_tried_and_named(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert request.config.cache is not None
    hardware = FakeM2m(build_fake_m2m(request.config.cache.mkdir("fakem2m")), tmp_path)
    for name, value in hardware.env.items():
        monkeypatch.setenv(name, value)
    hardware.install()
    assert probe_report([]).encoder == "h264_v4l2m2m"
    hardware.set("busy")
    report = probe_report([])
    assert report.encoder == "libx264"
    assert "/dev/video11 is in use" in report.render()


def test_a_machine_without_a_camera_is_told_about_the_test_source() -> None:
    text = probe_report([]).render()
    assert 'source = "test"' in text


@pytest.mark.parametrize(("state", "words"), [("busy", "busy"), ("denied", "Permission denied")])
def test_a_camera_that_cannot_be_looked_at_says_why(raw_camera: FakeV4l2, state: str, words: str) -> None:
    raw_camera.set(state)
    report = probe_report([str(raw_camera.device)])
    assert words in report.cameras[0].error
    assert report.chosen_camera == ""


def test_a_driver_that_hangs_does_not_hang_the_probe(raw_camera: FakeV4l2, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "TIMEOUT", 1.5)
    raw_camera.set("hang-open")
    started = time.monotonic()
    report = probe_report([str(raw_camera.device)])
    assert "driver hangs" in report.cameras[0].error
    assert time.monotonic() - started < 4
    assert not child_pids()
