"""The fake camera, built once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.capture.faults import FaultTable
from tests.fakes.v4l2 import FakeV4l2, build_fake_v4l2, write_jpegs


@pytest.fixture(scope="session")
def fake_library(request: pytest.FixtureRequest) -> Path:
    assert request.config.cache is not None
    return build_fake_v4l2(request.config.cache.mkdir("fakev4l2"))


@pytest.fixture
def raw_camera(fake_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeV4l2:
    """A plugged-in camera that offers YUYV, seen by the processes that this one starts."""
    return plugged(FakeV4l2(fake_library, tmp_path / "video0"), monkeypatch)


@pytest.fixture
def usb2_camera(fake_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeV4l2:
    """A plugged-in camera that offers MJPEG, and YUYV too slow for 1280x720 at 30."""
    write_jpegs(tmp_path, 1280, 720, (40, 128, 200))
    write_jpegs(tmp_path, 640, 480, (40, 128, 200))
    extra = {"FAKE_V4L2_JPEGS": str(tmp_path), "FAKE_V4L2_USB2": "1"}
    return plugged(FakeV4l2(fake_library, tmp_path / "video0", extra), monkeypatch)


def plugged(camera: FakeV4l2, monkeypatch: pytest.MonkeyPatch) -> FakeV4l2:
    for name, value in camera.env.items():
        monkeypatch.setenv(name, value)
    camera.plug()
    return camera


@pytest.fixture
def faults() -> FaultTable:
    return FaultTable()
