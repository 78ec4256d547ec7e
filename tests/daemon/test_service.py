"""The daemon as systemd sees it: READY, STATUS, WATCHDOG and STOPPING on a real NOTIFY_SOCKET, and a clean end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


class NotifySocket:
    """What systemd listens on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))

    def wait_for(self, line: str, within: float) -> None:
        """Read until a line that begins with `line` has come."""
        deadline = time.monotonic() + within
        while not any(each.startswith(line) for each in self.lines):
            self._socket.settimeout(max(0.01, deadline - time.monotonic()))
            self.lines += self._socket.recv(4096).decode().splitlines()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def notify(tmp_path: Path) -> Iterator[NotifySocket]:
    listener = NotifySocket(tmp_path / "notify")
    yield listener
    listener.close()


def start(tmp_path: Path, notify: NotifySocket, configuration: str) -> subprocess.Popen[str]:
    config = tmp_path / "edgecam.toml"
    config.write_text(configuration)
    environment = {**os.environ, "NOTIFY_SOCKET": str(notify.path), "WATCHDOG_USEC": "600000"}
    command = [sys.executable, "-m", "edgecam", "run", "--config", str(config)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def test_ready_status_watchdog_and_stopping_are_sent_and_sigterm_ends_it_within_five_seconds(
    tmp_path: Path, notify: NotifySocket
) -> None:
    daemon = start(tmp_path, notify, '[web]\nlisten = "127.0.0.1:0"\n[camera.front]\nsource = "test"\n')
    try:
        notify.wait_for("READY=1", 15)
        notify.wait_for("STATUS=all components running", 5)
        for _ in range(3):
            notify.lines.clear()
            notify.wait_for("WATCHDOG=1", 2)
        asked = time.monotonic()
        daemon.send_signal(signal.SIGTERM)
        notify.wait_for("STOPPING=1", 5)
        _, said = daemon.communicate(timeout=5)
        assert daemon.returncode == 0, said
        assert time.monotonic() - asked < 5
        assert "Traceback" not in said
    finally:
        daemon.kill()
        daemon.communicate()


def test_an_absent_camera_is_a_declared_wait_ready_for_systemd_and_said_in_the_status(
    tmp_path: Path, notify: NotifySocket
) -> None:
    daemon = start(
        tmp_path, notify, f'[web]\nlisten = "127.0.0.1:0"\n[camera.front]\ndevice = "{tmp_path}/no-such-device"\n'
    )
    try:
        notify.wait_for("READY=1", 15)
        notify.wait_for("STATUS=camera.front:", 5)
        assert any("[camera-absent]" in line for line in notify.lines)
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.communicate(timeout=5)
    assert daemon.returncode == 0
