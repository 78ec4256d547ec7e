"""All sensors in one look."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgecam.governors import disk, memory, power, temperature


@dataclass(frozen=True, slots=True)
class Readings:
    """None is a sensor that there is not. `state` is the file system of the daemon's own files, `system` that of `/`."""

    temperature: temperature.Temperature | None = None
    power: power.Power | None = None
    memory: memory.Memory | None = None
    state: disk.Disk | None = None
    system: disk.Disk | None = None


def look(root: Path, state_dir: Path) -> Readings:
    """Some dozen small files, a millisecond in all; blocks as long as the drivers behind them do. `root` is `/` but in
    tests."""
    return Readings(
        temperature.read(root), power.read(root), memory.read(root), disk.read(state_dir), disk.read(root)
    )
