"""Small files of the kernel, as text or numbers; what is not there, or not readable, is None."""

from __future__ import annotations

from pathlib import Path

MOST = 65_536  # bytes


def text(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(MOST).decode("utf-8", "replace").strip()
    except OSError:  # a sensor that is being read while it goes answers with an error of its own
        return None


def number(path: Path, base: int = 10) -> int | None:
    found = text(path)
    try:
        return int(found, base) if found else None
    except ValueError:
        return None
