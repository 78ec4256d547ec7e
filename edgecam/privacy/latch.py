"""What a person last set by API or command line, kept across restarts and power cuts."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

DIRECTORY = "privacy"  # inside the state directory
MAX_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Latched:
    """`since` is Unix time, `by` who set it: `api`, `cli`."""

    private: bool
    since: float
    by: str


class LatchUnreadableError(Exception):
    """There is a state, and nobody can say which."""


class Latch:
    """One camera's file. Blocks while it is written: the state is on the disk, not in a cache, when `set` returns."""

    def __init__(self, state_dir: Path, camera: str) -> None:
        self.path = state_dir / DIRECTORY / f"{camera}.json"

    def read(self) -> Latched | None:
        """What was set last, None when nothing ever was. Raises LatchUnreadableError."""
        try:
            with self.path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LatchUnreadableError(f"{self.path} cannot be read: {error.strerror or error}") from error
        try:
            latched = Latched(**json.loads(data))
        except (ValueError, TypeError, RecursionError) as error:
            raise LatchUnreadableError(f"{self.path} is damaged") from error
        whole = type(latched.private) is bool and isinstance(latched.by, str) and type(latched.since) in {int, float}
        if not whole or len(data) > MAX_BYTES:
            raise LatchUnreadableError(f"{self.path} is damaged")
        return latched

    def set(self, latched: Latched) -> None:
        """Keep it. Raises OSError; then what was there before still is."""
        directory = self.path.parent
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        with fresh.open("w", encoding="ascii") as file:
            json.dump(asdict(latched), file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        for place in (directory, directory.parent):  # the names too
            descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
