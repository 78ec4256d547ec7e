"""Noticing that a file has changed."""

from __future__ import annotations

from pathlib import Path


def stamp_of(path: Path) -> tuple[int, int, int] | None:
    """Changes when the file does: modification time in ns, inode, size in bytes. None when there is none. Never raises."""
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_mtime_ns, info.st_ino, info.st_size
