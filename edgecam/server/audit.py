"""The audit log: who connected, from where, with which token, to which camera, and who was refused why. Never a secret."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import structlog

from edgecam.http.rights import Rights
from edgecam.redaction import mask_text
from edgecam.server.limits import Pace
from edgecam.server.seats import CameraSeat, Client, ViewerSeat

log = structlog.get_logger("edgecam.audit")

MAX_TEXT = 200  # characters of anything that a stranger chose
REFUSALS = 20.0  # a second that are written; a flood of them is counted instead


class AuditFile:
    """JSON lines, at most two files of `limit` bytes: PATH, and PATH.1 with what was before. Opened on first use."""

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._descriptor: int | None = None
        self._size = 0
        self._broken = False

    def write(self, line: Mapping[str, object]) -> None:
        """Append. A file that cannot be written is said once, and costs nobody a connection."""
        try:
            if self._descriptor is None:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                self._descriptor = os.open(self._path, flags, 0o600)
                self._size = os.fstat(self._descriptor).st_size
            self._size += os.write(self._descriptor, json.dumps(line, separators=(",", ":")).encode() + b"\n")
            if self._size >= self._limit:
                self.close()
                self._path.replace(self._path.with_name(self._path.name + ".1"))
            self._broken = False
        except OSError as error:
            if not self._broken:
                log.warning("audit.unwritable", path=str(self._path), reason=error.strerror)
            self._broken = True

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class AuditLog:
    """Implements `seats.Audit`. Writes to the file when there is one, else to the log; counts either way."""

    def __init__(self, file: AuditFile | None = None) -> None:
        self._file = file
        self._refusals = Pace(REFUSALS, burst=10.0)
        self._unwritten = 0
        self.events: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()  # by code

    def __call__(self, event: str, client: Client, **details: object) -> None:
        seat = client.seat
        if isinstance(seat, CameraSeat):
            details = {"camera": seat.camera.id, "role": "camera", **details}
        elif isinstance(seat, ViewerSeat):
            details = {"camera": seat.camera.id if seat.camera else None, "role": "viewer", **details}
        self.note(event, client.link.remote, client.rights, client=client.id, **details)

    def note(self, event: str, remote: str, rights: Rights | None = None, **details: object) -> None:
        """Of somebody who need not be a client: refused at the door, say."""
        self.events[event] += 1
        if event == "refused":
            self.refused[str(details.get("code", ""))] += 1
            if self._refusals.has_room():
                self._unwritten += 1
                return
            self._refusals.spend()
        # Not "token": a log masks what is called that.
        held = {"grant": rights.token_id or rights.role, "name": rights.name or None} if rights is not None else {}
        missing, self._unwritten = self._unwritten, 0
        fields = {"remote": remote, **details, **held, "unwritten": missing or None}
        self._write(event, {key: _plain(value) for key, value in fields.items() if value is not None})

    def close(self) -> None:
        """Nothing more will be written."""
        if self._file is not None:
            self._file.close()

    def _write(self, event: str, fields: dict[str, object]) -> None:
        if self._file is None:
            log.info(event, **fields)
            return
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
        self._file.write({"time": stamp, "event": event, **fields})


def _plain(value: object) -> object:
    return value if isinstance(value, int | float) else mask_text(str(value)[:MAX_TEXT])
