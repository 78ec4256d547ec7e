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
