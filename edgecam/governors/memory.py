"""Memory: what is left for this service, of its control group (cgroup v2) and of the machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edgecam.governors.sysfiles import number, text

STALLED = 20.0  # per cent of the last 10 s in which nothing in the group went on for want of memory


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes. `available` is the smaller of what the machine and what the group's limits leave; `stalled` is the group's
    pressure (PSI, full, 10 s), per cent, 0 where the kernel does not tell."""

    available: int
    used: int | None = None  # by the group, without what the kernel can drop
    limit: int | None = None
    stalled: float = 0.0


def read(root: Path) -> Memory | None:
    """None where `/proc/meminfo` does not tell. `root` is where `/proc` and `/sys` are found."""
    machine = _table(text(root / "proc/meminfo")).get("MemAvailable")
    if machine is None:
        return None
    available = machine * 1024
    group = _group(root)
    if group is None:
        return Memory(available)
    limits = [found for name in ("memory.max", "memory.high") if (found := number(group / name)) is not None]
    used = number(group / "memory.current")
    if used is not None:  # the page cache of files counts as well, and goes first
        used = max(0, used - _table(text(group / "memory.stat")).get("inactive_file", 0))
    limit = min(limits, default=None)
    if limit is not None and used is not None:
        available = min(available, max(0, limit - used))
    return Memory(available, used, limit, _stalled(text(group / "memory.pressure")))


def _group(root: Path) -> Path | None:
    """The own control group."""
    match = re.search(r"^0::/(.*)$", text(root / "proc/self/cgroup") or "", re.MULTILINE)
    group = root / "sys/fs/cgroup" / match[1] if match else None
    return group if group is not None and (group / "memory.current").exists() else None


def _table(lines: str | None) -> dict[str, int]:
    return {match[1]: int(match[2]) for match in re.finditer(r"^(\w+):?\s+(\d+)", lines or "", re.MULTILINE)}


def _stalled(lines: str | None) -> float:
    match = re.search(r"^full avg10=([\d.]+)", lines or "", re.MULTILINE)
    return float(match[1]) if match else 0.0
