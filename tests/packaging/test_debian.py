"""The Debian packaging agrees with the source."""

from __future__ import annotations

import subprocess
from pathlib import Path

from edgecam import __version__

ROOT = Path(__file__).parents[2]


def test_the_package_has_the_programs_version() -> None:
    command = ["dpkg-parsechangelog", "-l", str(ROOT / "debian" / "changelog"), "-S", "Version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert said.split("-")[0] == __version__


def test_each_unit_is_packaged() -> None:
    packaged = {unit.resolve() for unit in (ROOT / "debian").glob("*.service")}
    assert packaged == set((ROOT / "systemd").glob("*.service"))
