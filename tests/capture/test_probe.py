"""What `edgecam probe` finds."""

from __future__ import annotations

import json
import time

import pytest

from edgecam.capture import probe
from edgecam.capture.probe import probe_report
from tests.capture.watching import child_pids
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
