"""Where the optional libraries are not installed: a sentence that says what to install, or nothing but a line in the log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.harness.daemons import Daemon, toml
from tests.harness.processes import PACKAGE_HOME, run_edgecam

CAMERA = {"front": {"source": "test", "width": 320, "height": 240, "fps": 15, "bitrate_kbps": 200}}


@pytest.fixture
def without(tmp_path: Path) -> dict[str, str]:
    """Variables with which Python finds neither library."""
    home = tmp_path / "without"
    home.mkdir()
    (home / "sitecustomize.py").write_text("import sys\nsys.modules['paho'] = sys.modules['zeroconf'] = None\n")
    return {"PYTHONPATH": f"{home}:{PACKAGE_HOME}"}


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"mqtt": {"url": "mqtt://localhost"}}, "[mqtt] url needs the Python package paho; apt install python3-paho-mqtt, or pip install "),
        ({"mdns": {"enabled": True}}, "[mdns] enabled needs the Python package zeroconf; apt install python3-zeroconf, or pip install "),
    ],
)
def test_what_is_configured_and_not_installed_is_said(tmp_path: Path, without: dict[str, str], config: dict[str, Any], says: str) -> None:
    file = tmp_path / "edgecam.toml"
    file.write_text(toml({"state_dir": str(tmp_path), "web": {"listen": "127.0.0.1:0"}, **config, "camera": CAMERA}))
    done = run_edgecam("run", "--config", file, state_dir=tmp_path, env=without)
    assert done.returncode == 78
    assert says in done.stderr.replace("\n", " ")


def test_discover_says_it_too(tmp_path: Path, without: dict[str, str]) -> None:
    done = run_edgecam("discover", state_dir=tmp_path, env=without)
    assert done.returncode == 78
    assert "apt install python3-zeroconf" in done.stderr


def test_what_nobody_configured_is_left_out_quietly(tmp_path: Path, without: dict[str, str]) -> None:
    with Daemon({"web": {"token": "0123456789abcdef"}, "camera": CAMERA}, tmp_path, host="0.0.0.0", env=without) as daemon:
        assert daemon.logged("mdns.off", reason="python3-zeroconf is not installed")
        assert daemon.get("/healthz").status == 200
