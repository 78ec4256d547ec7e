"""Deaths of the daemon on disk: one compressed file each, few of them, seldom written."""

from __future__ import annotations

import gzip
import json
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

WRITTEN = "written"  # a file of the last writes' times, where not every file that was written is kept for a day
_NAME = re.compile(r"(\d{8}T\d{6}Z)-([a-z-]{1,40})\.jsonl\.gz")
DAY = 86_400.0  # seconds


@dataclass(frozen=True, slots=True)
class Deaths:
    """The files in `directory`. Nothing is made before there is something to write."""

    directory: Path
    keep: int
    per_day: int

    def names(self) -> list[str]:
        """Newest first; empty when there are none or they cannot be read."""
        try:
            found = [path.name for path in self.directory.iterdir() if _NAME.fullmatch(path.name)]
        except OSError:
            return []
        return sorted(found, reverse=True)

    def path(self, name: str) -> Path | None:
        """Of one of `names`; None for anything else."""
        return self.directory / name if _NAME.fullmatch(name) and (self.directory / name).is_file() else None

    def save(self, reason: str, lines: Sequence[str], facts: dict[str, object], now: float | None = None) -> Path | None:
        """Write what was left, `facts` first; None when as many were written today as may be. Raises OSError."""
        now = time.time() if now is None else now
        if self.keep == 0 or self._written_since(now - DAY) >= self.per_day:
            return None
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.directory / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}-{reason}.jsonl.gz"
        head = json.dumps({"event": "death", "reason": reason, **facts}, default=str)
        _write_whole(path, gzip.compress("\n".join([head, *lines, ""]).encode()))
        if self.keep < self.per_day:
            _write_whole(self.directory / WRITTEN, "\n".join(sorted(self._written())[-self.per_day :]).encode())
        for name in self.names()[self.keep :]:
            (self.directory / name).unlink(missing_ok=True)
        return path

    def _written_since(self, since: float) -> int:
        start = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(since))
        return sum(stamp > start for stamp in self._written())

    def _written(self) -> set[str]:
        """When files were written, as in their names: those that are there, and others that may be gone."""
        try:
            noted = (self.directory / WRITTEN).read_text(encoding="ascii").split()
        except (OSError, ValueError):
            noted = []
        return {*noted, *(name.partition("-")[0] for name in self.names())}


def _write_whole(path: Path, data: bytes) -> None:
    """The file is there whole or not at all, whatever happens meanwhile. Mode 0600."""
    temporary = path.with_suffix(".part")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
