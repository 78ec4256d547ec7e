"""The count of a day's bytes on disk: written seldom, whole or not at all, and not missed when it cannot be."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import structlog

from edgecam.governors.budget import Record
from edgecam.http.tokens import read_private, write_private

log = structlog.get_logger(__name__)

FILE = "traffic.json"
STEP = 0.01  # of the budget: what is sent between two writes, which is what a crash loses
EVERY = 900.0  # seconds after which less is written as well
RETRY = 600.0  # seconds after a write that failed
MOST = 2**63  # bytes: more nobody has sent


class Ledger:
    """`state_dir/traffic.json`. Some 60 bytes, at most 200 times a day: every hundredth of the budget, and every 15 minutes in
    which anything was sent. Reading and writing block, and never raise. `now` is CLOCK_BOOTTIME seconds."""

    def __init__(self, state_dir: Path, budget: int) -> None:
        self._path = state_dir / FILE
        self._step = STEP * budget
        self._written: Record | None = None
        self._due = 0.0
        self._failed = False

    def read(self) -> Record | None:
        """What was written last; None when that is nothing, or no such file at all."""
        try:
            found = read_private(self._path)
            record = _parsed(found) if found is not None else None
        except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            log.warning("budget.unreadable", path=str(self._path), reason=repr(error))
            return None
        self._written = record
        return record

    def due(self, record: Record, now: float) -> bool:
        """Whether it is to be written by now."""
        before = self._written
        if before == record or (self._failed and now < self._due):
            return False
        if before is None or before.day != record.day or record.octets - before.octets >= self._step:
            return True
        return record.octets > before.octets and now >= self._due

    def write(self, record: Record, now: float) -> None:
        """Replace the file. On a full or read-only disk the old one stays, and the count goes on in memory."""
        value = {"day": record.day, "bytes": record.octets, "seconds": round(record.seconds)}
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self._path, json.dumps(value) + "\n")
        except OSError as error:
            if not self._failed:
                log.warning("budget.unwritable", path=str(self._path), reason=error.strerror or repr(error))
            self._failed, self._due = True, now + RETRY
        else:
            self._written, self._failed, self._due = record, False, now + EVERY


def _parsed(found: str) -> Record:
    """Raises ValueError, KeyError, TypeError or OverflowError."""
    value = json.loads(found)
    octets, seconds = int(value["bytes"]), float(value["seconds"])
    if not 0 <= octets < MOST or not 0 <= seconds < MOST:
        raise ValueError("impossible numbers")
    return Record(date.fromisoformat(value["day"]).isoformat(), octets, seconds)
