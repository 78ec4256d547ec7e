"""What of the picamera2 source needs no camera: the sensor's clock, and what the configuration may say."""

from __future__ import annotations

import time
from typing import Any

import pytest
from pydantic import ValidationError

from edgecam.capture.capturetime import libcamera_time
from edgecam.capture.picamera import chosen
from edgecam.errors import CaptureError
from edgecam.settings import CameraSettings

FOUND: list[dict[str, Any]] = [{"Id": "/base/soc/i2c0mux/i2c@1/imx708@1a", "Model": "imx708", "Num": 0}, {"Id": "usb-1", "Num": 1}]


def test_the_sensors_time_counts_on_either_of_linuxs_clocks_and_on_no_other() -> None:
    now = time.monotonic_ns()
    slept = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    assert libcamera_time(now - 40_000_000, now) == now - 40_000_000
    assert libcamera_time(now + slept - 40_000_000, now) == pytest.approx(now - 40_000_000, abs=1_000_000)
    assert libcamera_time(now - 60_000_000_000, now) == now
    assert libcamera_time(time.time_ns(), now) == now
    assert libcamera_time(None, now) == now


def test_a_camera_is_chosen_by_index_id_or_model() -> None:
    assert chosen(FOUND, "1") == (1, "unknown (usb-1)")
    assert chosen(FOUND, "imx708")[0] == chosen(FOUND, FOUND[0]["Id"])[0] == 0
    with pytest.raises(CaptureError, match=r"no camera '2'; libcamera sees imx708 .*, unknown \(usb-1\)"):
        chosen(FOUND, "2")
    with pytest.raises(CaptureError, match="libcamera sees none; check the cable"):
        chosen([], "0")


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"roi": [0.5, 0.5, 0.6, 0.5]}, "roi must be x, y, width and height"),
        ({"roi": [0, 0, 1]}, "roi must be"),
        ({"roi": [0, 0, 0, 1]}, "roi must be"),
        ({"rotation": 90}, "0 or 180"),
        ({"source": "test", "encoder": "picamera2"}, 'of source = "picamera2" only'),
        ({"encoder": "picamera2", "overlay": "time"}, "no overlay can be drawn"),
    ],
)
def test_what_cannot_be_is_refused_by_the_configuration(keys: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        CameraSettings.model_validate({"source": "picamera2", **keys})
