"""Log records to journald in its native protocol, with fields (systemd.journal-fields(7)).

A datagram per record: `KEY=value` lines, or KEY, 64-bit little-endian length and bytes for values with newlines.
What does not fit into a datagram goes as a sealed memfd (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/).
"""

from __future__ import annotations

import array
import errno
import fcntl
import logging
import os
import re
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

JOURNAL_SOCKET = Path("/run/systemd/journal/socket")
IDENTIFIER = "edgecam"

# syslog(3) severities
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "exception": 3, "critical": 2}

# journald ignores fields with longer names.
LONGEST_FIELD_NAME = 64

# What a person, or a program, waits for: journalctl MESSAGE_ID=... finds each of them whatever its text becomes.
MESSAGE_IDS = {
    "daemon.starting": "b8bfde6cbf064293adada264a3dfa26a",
    "daemon.ready": "eefd9c04704b4d92aa929f0656ea80d6",
    "daemon.stopping": "9d83670bc8d64e36b4c3bba58b7593bf",
    "component.state": "edfa724e5b4949ef85e5a3054c73a2a0",
    "watchdog.withheld": "ca58109db8c54063970b2bfee9c32d32",
    "camera.escalated": "894ac1f60aa84b44abd5c5d0b169fe93",
}
# Components that are parts of one camera: `encoder.front`.
PARTS_OF_CAMERAS = ("camera.", "encoder.")


def is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether `stream` is what systemd connected to the journal: $JOURNAL_STREAM is its device:inode."""
    announced = environ.get("JOURNAL_STREAM", "")
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return announced == f"{status.st_dev}:{status.st_ino}"


def datagram(fields: Mapping[str, str]) -> bytes:
    """The fields as one native message; names as journald wants them: A-Z, 0-9 and _, at most 64."""
    return b"".join(_field(name, value) for name, value in fields.items())


def fields_of(event: str, logger: str, level: str, message: str, values: Mapping[str, str]) -> dict[str, str]:
    """The journal's fields of one record: `values`, each as EDGECAM_..., and what can be looked for besides.

    EDGECAM_CAMERA is there for what concerns one camera, also where only one of its components is named.
    """
    fields = {
        "MESSAGE": message,
        "PRIORITY": str(PRIORITIES.get(level, 6)),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        "EDGECAM_EVENT": event,
        "EDGECAM_LOGGER": logger,
    }
    if event in MESSAGE_IDS:
        fields["MESSAGE_ID"] = MESSAGE_IDS[event]
    kind, dot, camera = values.get("component", "").partition(".")
    if kind + dot in PARTS_OF_CAMERAS:
        fields["EDGECAM_CAMERA"] = camera
    return fields | {f"EDGECAM_{key}": text for key, text in values.items()}


def place_of(record: logging.LogRecord) -> dict[str, str]:
    """Where in the program a record was made."""
    return {"CODE_FILE": record.pathname, "CODE_LINE": str(record.lineno), "CODE_FUNC": record.funcName or ""}


def _field(name: str, value: str) -> bytes:
    key = re.sub(r"[^A-Z0-9_]", "_", name.upper())[:LONGEST_FIELD_NAME].encode()
    data = value.encode("utf-8", "replace")
    if b"\n" in data:
        return key + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
    return key + b"=" + data + b"\n"


class JournalHandler(logging.Handler):
    """Sends each record's datagram. Never raises and never blocks: what journald does not take is counted and lost.

    The formatter must return the datagram's bytes decoded as Latin-1 (structlog's formatter insists on text).
    """

    def __init__(self, path: Path = JOURNAL_SOCKET) -> None:
        super().__init__()
        self.path = str(path)
        self.lost = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._send(self.format(record).encode("latin-1"))
        except Exception:  # noqa: BLE001 - logging must not break what it reports on
            self.lost += 1

    def _send(self, message: bytes) -> None:
        try:
            # Without connect(): a journald that was restarted is found again by itself.
            self._socket.sendto(message, self.path)
        except OSError as error:
            if error.errno not in {errno.EMSGSIZE, errno.ENOBUFS}:
                raise
            self._send_sealed(message)

    def _send_sealed(self, message: bytes) -> None:
        """As a memfd that nobody can change any more, which is what journald accepts from strangers."""
        descriptor = os.memfd_create("edgecam-journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                file.write(message)
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))
            self._socket.sendmsg([], [rights], 0, self.path)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        self._socket.close()
        super().close()
