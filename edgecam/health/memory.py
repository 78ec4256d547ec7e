"""What the ladder must not forget when the daemon ends: exits and reboots, in one small file, written only when there is one."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import structlog

log = structlog.get_logger(__name__)

FILE = "ladder.json"
MAX_BYTES = 64 << 10
MAX_COUNT = 1_000_000_000


class LadderMemory:
    """Counts by camera and name, and when the last reboot was asked for (Unix time). A file that cannot be read is as good as
    none; one that cannot be written is said so: `save` returns whether it was."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._counts: dict[str, dict[str, int]] | None = None
        self._rebooted_at = 0.0

    def count(self, camera: str, name: str) -> int:
        return self._loaded().get(camera, {}).get(name, 0)

    def set(self, camera: str, name: str, value: int) -> None:
        """Remembered on disk by `save` only."""
        self._loaded().setdefault(camera, {})[name] = value

    def rebooted(self) -> None:
        """A reboot is asked for now."""
        self._loaded()
        self._rebooted_at = time.time()

    @property
    def since_reboot(self) -> float:
        """Seconds since one was asked for, infinite when none ever was. One in the future is one by a clock that was wrong:
        it counts from now on."""
        self._loaded()
        if not self._rebooted_at:
            return float("inf")
        if self._rebooted_at > time.time():
            self.rebooted()
            self.save()
        return time.time() - self._rebooted_at

    def save(self) -> bool:
        """Write it all, whole or not at all."""
        temporary = self._path.with_name(f".{FILE}.new")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with temporary.open("w", encoding="utf-8") as file:
                json.dump({"rebooted": self._rebooted_at, "cameras": self._loaded()}, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError as error:
            log.warning("ladder.not-remembered", path=str(self._path), reason=error.strerror or str(error))
            return False
        return True

    def _loaded(self) -> dict[str, dict[str, int]]:
        if self._counts is None:
            self._counts = {}
            kept = self._read()
            at, cameras = kept.get("rebooted"), kept.get("cameras")
            if isinstance(at, int | float) and 0 <= at < float("inf"):
                self._rebooted_at = float(at)
            for camera, counts in cameras.items() if isinstance(cameras, dict) else ():
                if isinstance(counts, dict):
                    self._counts[camera] = {name: value for name, value in counts.items() if _is_count(value)}
        return self._counts

    def _read(self) -> dict[str, Any]:
        try:
            with self._path.open("rb") as file:
                kept = json.loads(file.read(MAX_BYTES))
        except (OSError, ValueError):
            return {}
        return kept if isinstance(kept, dict) else {}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_COUNT
