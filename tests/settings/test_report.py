"""`check-config --show`."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgecam.config import LoadedConfig, load, render_effective


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedConfig:
    file = tmp_path / "edgecam.toml"
    file.write_text('[camera.front]\nsource = "test"\nquality = "low"\nbitrate_kbps = 400\n[signaling.home]\n')
    (tmp_path / "signaling.home.token").write_text("from-a-credential\n")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "EDGECAM_VIEWERS__MAX": "7"}
    (tmp_path / "edgecam.toml").rename(tmp_path / "edgecam")  # not a credential's name
    return load(tmp_path / "edgecam", {"log.level": "debug"}, environ)


def test_every_value_has_its_origin(loaded: LoadedConfig) -> None:
    shown = render_effective(loaded).splitlines()
    assert f'camera.front.source = "test"  # {loaded.path}:2' in shown
    assert "viewers.max = 7  # env EDGECAM_VIEWERS__MAX" in shown
    assert 'log.level = "debug"  # command line' in shown
    assert 'log.format = "auto"  # default' in shown


def test_secrets_are_masked_and_absent_ones_are_empty(loaded: LoadedConfig) -> None:
    shown = render_effective(loaded)
    assert 'signaling.home.token = "********"  # credential signaling.home.token' in shown
    assert 'web.token = ""  # default' in shown
    assert "from-a-credential" not in shown


def test_a_cameras_numbers_are_those_in_force(loaded: LoadedConfig) -> None:
    shown = render_effective(loaded).splitlines()
    assert 'camera.front.width = 640  # from quality = "low"' in shown
    assert f"camera.front.bitrate_kbps = 400  # {loaded.path}:4" in shown
    assert "camera.front.min_bitrate_kbps = 50  # the smallest rendition's share of the ceiling" in shown
