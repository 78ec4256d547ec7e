"""The capture process's end of the line to the daemon: units go out at once or not at all."""

from __future__ import annotations

import fcntl
import select
import socket
import struct
import termios
import threading
import time
from collections.abc import Mapping

from edgecam.capture import wire
from edgecam.capture.wire import Kind

# A daemon that has been behind for this long gets nothing more until it has caught up: what the socket buffer holds
# then is already too old to be worth adding to.
MAX_BEHIND = 0.5  # seconds
# A unit that has begun must be finished, or the stream of messages breaks; this long it may take inside one call.
FINISH_TIMEOUT = 0.05  # seconds
MESSAGE_TIMEOUT = 1.0  # seconds


class DaemonLink:
    """Sends messages over a stream socket from several threads. Raises OSError once the daemon has gone."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._rest = b""  # of a message that has been sent in part
        self._behind_since = 0.0
        self._behind = False

    def unit(self, data: bytes, keyframe: bool, captured_ns: int, rendition: int = 0) -> bool:
        """Send an access unit; False, and nothing sent, when the daemon is not reading."""
        header = wire.encode_unit_header(len(data), keyframe, captured_ns, rendition)
        with self._lock:
            if self._too_far_behind() or not self._finish(0):
                return False
            try:
                sent = self._sock.sendmsg([header, data], (), socket.MSG_DONTWAIT)
            except BlockingIOError:
                return False
            if sent < len(header) + len(data):
                self._rest = (header + data)[sent:]
                self._finish(FINISH_TIMEOUT)
            return True

    def message(self, kind: Kind, value: Mapping[str, object]) -> bool:
        """Send a small message; False when it was given up because the daemon is not reading."""
        with self._lock:
            if not self._finish(MESSAGE_TIMEOUT):
                return False
            self._rest = wire.encode_json(kind, value)
            self._finish(MESSAGE_TIMEOUT)
            return True

    def caught_up(self) -> bool:
        """Whether the daemon has read everything."""
        with self._lock:
            return not self._rest and self._unread() == 0

    def _too_far_behind(self) -> bool:
        if self._unread() == 0:
            self._behind = False
        elif not self._behind:
            self._behind, self._behind_since = True, time.monotonic()
        return self._behind and time.monotonic() - self._behind_since > MAX_BEHIND

    def _unread(self) -> int:
        """What the socket holds that the daemon has not read; unix(7), SIOCOUTQ. 0 means nothing, else no exact size."""
        (unread,) = struct.unpack("i", fcntl.ioctl(self._sock, termios.TIOCOUTQ, bytes(4)))
        return int(unread)

    def _finish(self, timeout: float) -> bool:
        """Send the rest of what was begun; whether all of it went out within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while self._rest:
            try:
                sent = self._sock.send(self._rest, socket.MSG_DONTWAIT)
            except BlockingIOError:
                wait = deadline - time.monotonic()
                if wait <= 0:
                    return False
                select.select([], [self._sock], [], wait)
            else:
                self._rest = self._rest[sent:]
        return True
