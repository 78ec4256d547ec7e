"""What a bug report needs to know of the machine: system, versions, resources, cameras, service."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from edgecam import __version__

PACKAGES = ("aiortc", "aioice", "av", "aiohttp", "cryptography", "pyopenssl", "pydantic", "pydantic-settings",
    "structlog", "picamera2", "zeroconf", "paho-mqtt", "python-socketio", "redis")  # fmt: skip
FACTS = {
    "release": "/etc/os-release",
    "board": "/proc/device-tree/model",
    "load": "/proc/loadavg",
    "uptime": "/proc/uptime",
    "pressure-cpu": "/proc/pressure/cpu",
    "pressure-memory": "/proc/pressure/memory",
    "pressure-io": "/proc/pressure/io",
}
MEMORY = ("MemTotal", "MemAvailable", "SwapTotal", "SwapFree", "CmaTotal", "CmaFree")
UNIT = ("edgecam.service", "edgecam-server.service")
UNIT_FACTS = "Id,ActiveState,SubState,Result,NRestarts,ExecMainStatus,ExecMainCode,MemoryCurrent,MemoryPeak,StatusText,ActiveEnterTimestamp"


def host_facts() -> str:
    """A page of text; what cannot be read is left out."""
    lines = [
        f"edgecam {__version__}, Python {sys.version.split()[0]} ({sys.executable}), {platform.platform()}",
        f"processors: {os.cpu_count()} x {_processor()}",
        "packages: " + ", ".join(f"{name} {version}" for name in PACKAGES if (version := _version(name))),
    ]
    for name, path in FACTS.items():
        text = _read(Path(path))
        if text:
            lines += [f"{name}:", *(f"  {line}" for line in text.splitlines())]
    lines += ["memory:", *(f"  {line}" for line in _read(Path("/proc/meminfo")).splitlines() if line.startswith(MEMORY))]
    lines += ["disks:", *(f"  {line}" for line in _disks(("/", "/var/lib", "/run", "/tmp")))]
    lines += ["temperatures:", *(f"  {line}" for line in _temperatures())]
    lines += ["video devices:", *(f"  {line}" for line in _video_devices())]
    return "\n".join(lines) + "\n"


def unit_facts() -> str:
    """What systemd says of our units; empty where there is no systemd."""
    return said_by(["systemctl", "show", *UNIT, f"--property={UNIT_FACTS}"])


def journal(lines: int = 2000) -> str:
    """The end of our units' journal; empty when this user may not read it."""
    chosen = [f"--unit={unit}" for unit in UNIT]
    return said_by(["journalctl", "--quiet", "--no-pager", "--output=short-iso-precise", f"--lines={lines}", *chosen])


def said_by(command: Sequence[str], within: float = 20.0) -> str:
    """What a command prints, errors too; empty when there is no such command or it does not end in time."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=within, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace")


def _read(path: Path) -> str:
    try:
        return path.read_bytes()[:100_000].decode("utf-8", "replace").strip().strip("\0")
    except OSError:
        return ""


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _processor() -> str:
    for line in _read(Path("/proc/cpuinfo")).splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"model name", "Model", "Hardware"}:
            return value.strip()
    return platform.machine()


def _disks(places: Sequence[str]) -> list[str]:
    found = []
    for place in places:
        try:
            usage = shutil.disk_usage(place)
        except OSError:
            continue
        found.append(f"{place}: {usage.free // 1_000_000} of {usage.total // 1_000_000} MB free")
    return found


def _temperatures() -> list[str]:
    zones = sorted(Path("/sys/class/thermal").glob("thermal_zone*"))
    return [f"{_read(zone / 'type')}: {int(text) / 1000:.1f} degrees" for zone in zones if (text := _read(zone / "temp")).isdecimal()]


def _video_devices() -> list[str]:
    devices = sorted(Path("/sys/class/video4linux").glob("*"))
    return [f"/dev/{device.name}: {_read(device / 'name')}" for device in devices]
