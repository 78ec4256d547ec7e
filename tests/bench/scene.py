"""What is measured: a daemon with a 720p test picture, a signaling server, and Chromium, all on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.browser import Browser, running_browser
from tests.harness.daemons import Daemon, Server

# 29.7 and not 30 frames a second, so that the picture's phase against the screen's 60 Hz sweeps. Floor and ceiling
# are the same, so that no viewer's estimate moves the bitrate.
CAMERA: dict[str, Any] = {
    "source": "test",
    "width": 1280,
    "height": 720,
    "fps": 29.7,
    "bitrate_kbps": 2000,
    "min_bitrate_kbps": 2000,
}
QUIET = {"level": "warning", "format": "json"}


@dataclass(frozen=True, slots=True)
class Scene:
    daemon: Daemon
    server: Server
    browser: Browser


@contextmanager
def scene(directory: Path) -> Iterator[Scene]:
    """Everything running, the camera registered at the server."""
    with Server({"log": QUIET}, directory / "server") as server:
        config = {"log": QUIET, "camera": {"front": CAMERA}, "signaling": {"home": {"url": server.socket_url}}}
        with Daemon(config, directory / "daemon") as daemon:
            daemon.wait_ready()
            server.wait_camera("front")
            with running_browser() as browser:
                yield Scene(daemon, server, browser)
