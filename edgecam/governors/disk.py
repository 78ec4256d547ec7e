"""The file systems that the daemon's state and the system itself are on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Disk:
    """`free`: bytes that this user may still write at `path`."""

    path: Path
    free: int
    read_only: bool


def read(path: Path) -> Disk | None:
    """Of the file system that `path` is on, or will be once it is made; None when that cannot be told."""
    for place in (path, *path.absolute().parents):
        try:
            found = os.statvfs(place)
        except FileNotFoundError:
            continue
        except OSError:
            return None
        return Disk(path, found.f_bavail * found.f_frsize, bool(found.f_flag & os.ST_RDONLY))
    return None
