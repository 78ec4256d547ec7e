"""The systemd units, judged by systemd itself."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgecam.errors import ConfigError

UNITS = sorted((Path(__file__).parents[2] / "systemd").glob("*.service"))

# 0 is the tightest sandbox, 10 none; what is left is what streaming a camera needs: devices and the network.
LOOSEST_EXPOSURE = 2.0

# They came with systemd 254; older ones say so and go on.
YOUNG_KEYS = ("RestartSteps", "RestartMaxDelaySec")


def systemd_analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_nothing_wrong(unit: Path, tmp_path: Path) -> None:
    copy = tmp_path / unit.name
    # Neither the program nor the page is installed where the tests run.
    text = unit.read_text().replace("ExecStart=/usr/bin/edgecam", f"ExecStart={sys.executable} -m edgecam")
    copy.write_text(re.sub(r"(?m)^Documentation=.*\n", "", text))
    said = systemd_analyze("verify", str(copy)).stderr.splitlines()
    assert [line for line in said if not any(f"'{key}'" in line for key in YOUNG_KEYS)] == []


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_sandbox_is_tight(unit: Path) -> None:
    said = systemd_analyze("security", "--offline=true", "--no-pager", str(unit)).stdout
    exposure = re.search(rf"Overall exposure level for {re.escape(unit.name)}: ([0-9.]+)", said)
    assert exposure, said
    assert float(exposure[1]) <= LOOSEST_EXPOSURE


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
