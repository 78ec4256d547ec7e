"""The command line: help that teaches, and errors in one line that say what to do."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def edgecam(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgecam", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_help_shows_how_to_begin() -> None:
    shown = edgecam("--help").stdout
    assert "edgecam demo" in shown
    assert "edgecam run --config" in shown


@pytest.mark.parametrize("command", ["run", "demo", "server", "check-config", "probe", "bench", "status", "snapshot"])
def test_every_command_explains_itself(command: str) -> None:
    result = edgecam(command, "--help")
    assert result.returncode == 0
    assert f"usage: edgecam {command}" in result.stdout


def test_a_wrong_configuration_exits_78_with_the_nearest_key(tmp_path: Path) -> None:
    config = tmp_path / "edgecam.toml"
    config.write_text("[camera.front]\nsource = 'test'\nwidht = 640\n")
    for command in (["check-config", str(config)], ["run", "--config", str(config)]):
        result = edgecam(*command)
        assert result.returncode == 78
        assert "edgecam.toml:3" in result.stderr
        assert "did you mean 'width'" in result.stderr
        assert result.stderr.count("\n") == 1


def test_a_configuration_without_cameras_says_so(tmp_path: Path) -> None:
    config = tmp_path / "edgecam.toml"
    config.write_text("")
    result = edgecam("run", "--config", str(config))
    assert result.returncode == 78
    assert "names no camera" in result.stderr


def test_the_shipped_configuration_is_right() -> None:
    result = edgecam("check-config", str(ROOT / "config" / "edgecam.toml"))
    assert result.returncode == 0, result.stderr


def test_status_without_a_daemon_says_how_to_start_one() -> None:
    result = edgecam("status", "--set", "web.listen=127.0.0.1:1")
    assert result.returncode == 1
    assert "no edgecam daemon answers at http://127.0.0.1:1" in result.stderr
    assert "edgecam run" in result.stderr


def test_a_missing_demo_source_is_named() -> None:
    result = edgecam("demo", "--source", "/no/such/file.mp4")
    assert result.returncode == 78
    assert "/no/such/file.mp4" in result.stderr


@pytest.mark.parametrize("command", ["run", "demo"])
def test_a_busy_port_is_one_line_that_says_what_to_change(command: str, tmp_path: Path) -> None:
    config = tmp_path / "edgecam.toml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        config.write_text(f'[log]\nlevel = "warning"\n[web]\nlisten = "127.0.0.1:{port}"\n[camera.front]\nsource = "test"\n')
        arguments = ["run", "--config", str(config)] if command == "run" else ["demo", "--port", port, "--web-port", port]
        result = edgecam(*arguments)
    assert result.returncode == 1
    assert "the port is in use" in result.stderr
    assert ("--port" if command == "demo" else "[web] listen") in result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
