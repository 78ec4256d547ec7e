"""What the systemd units promise, by their text. What systemd makes of them: tests/machines/test_daemon_service.py."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgecam.errors import ConfigError
from edgecam.settings import ServerSettings, WebSettings

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "systemd").glob("*.service"))
SOCKETS = {"edgecam.socket": WebSettings().listen, "edgecam-server.socket": ServerSettings().listen}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_wrong_configuration_is_not_tried_again_and_everything_else_is(unit: Path) -> None:
    text = unit.read_text()
    assert f"\nRestartPreventExitStatus={ConfigError.exit_code}\n" in text
    assert "\nRestart=always\n" in text


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_there_are_descriptors_for_every_viewer(unit: Path) -> None:
    assert "\nLimitNOFILE=65536\n" in unit.read_text()


def test_a_unit_starts_a_command_that_exists() -> None:
    for unit in UNITS:
        (command,) = re.findall(r"(?m)^ExecStart=/usr/bin/edgecam (\S+) ", unit.read_text())
        shown = subprocess.run([sys.executable, "-m", "edgecam", command, "--help"], capture_output=True, text=True)
        assert "--config" in shown.stdout


@pytest.mark.parametrize(("socket", "listen"), SOCKETS.items())
def test_a_socket_that_somebody_enables_opens_no_more_than_the_service_by_itself(socket: str, listen: str) -> None:
    assert f"\nListenStream={listen}\n" in (ROOT / "systemd" / socket).read_text()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_every_line_has_its_reason_in_the_documentation(unit: Path) -> None:
    page = (ROOT / "docs/systemd.md").read_text()
    keys = set(re.findall(r"(?m)^([A-Z]\w+)=", unit.read_text())) - {"Description", "Documentation"}
    assert {key for key in keys if f"`{key}=" not in page} == set()
