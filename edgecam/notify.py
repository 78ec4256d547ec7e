"""Tell systemd how the service is: READY, RELOADING, STATUS, WATCHDOG, STOPPING (sd_notify(3))."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from sdnotify import SystemdNotifier

# A systemd that is too busy to read holds nobody up for longer; what is repeated anyway does not wait at all.
PATIENCE = 0.5  # seconds


class ServiceNotifier:
    """What systemd is told. Every method is a no-op without $NOTIFY_SOCKET and never raises.

    The socket is opened on first use; `close()`, or leaving the `with` block, closes it.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._present = bool(environ.get("NOTIFY_SOCKET"))
        self._channel: SystemdNotifier | None = None
        self._last_status: str | None = None
        self.watchdog_interval = _watchdog_interval(environ)
        """Seconds between two `watchdog()`: half of what systemd waits; None when it does not watch us."""

    def ready(self) -> None:
        """The service is up, or waits for something outside in a declared way; ends what `reloading()` began."""
        self._send("READY=1")

    def reloading(self) -> None:
        """A reload begins: to be sent at once when the signal comes; `ready()` says that it is over, well or badly.

        The time (CLOCK_MONOTONIC, µs) is what `Type=notify-reload` tells this reload's end from an earlier one's by.
        """
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def status(self, text: str) -> None:
        """One line for `systemctl status`; sent only when it differs from the last one."""
        line = " ".join(text.split())
        if line != self._last_status and self._send(f"STATUS={line}", 0.0):
            self._last_status = line

    def watchdog(self) -> bool:
        """Still alive; to be sent every `watchdog_interval` seconds. Whether it was, or need not be."""
        return self.watchdog_interval is None or self._send("WATCHDOG=1", 0.0)

    def trigger(self) -> None:
        """Something inside is broken for good: systemd is to act at once as if `watchdog()` had not come in time."""
        if self.watchdog_interval is not None:
            self._send("WATCHDOG=trigger")

    def stopping(self) -> None:
        """The service begins to shut down."""
        self._send("STOPPING=1")

    def _send(self, state: str, patience: float = PATIENCE) -> bool:
        """Whether it was sent, or need not be."""
        if not self._present:
            return True
        try:
            if self._channel is None:
                self._channel = SystemdNotifier(debug=True)  # which raises what it would otherwise keep to itself
            self._channel.socket.settimeout(patience)
            # sdnotify encodes Latin-1 and drops what does not fit; systemd reads UTF-8. These are the UTF-8 bytes.
            self._channel.notify(state.encode("utf-8", "replace").decode("latin-1"))
        except OSError:
            return False
        return True

    def close(self) -> None:
        if self._channel is not None and self._channel.socket is not None:
            self._channel.socket.close()
            self._channel.socket = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _watchdog_interval(environ: Mapping[str, str]) -> float | None:
    """Half of $WATCHDOG_USEC in seconds, when it is meant for this process (sd_watchdog_enabled(3))."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = environ.get("WATCHDOG_USEC", "")
    return int(text) / 2_000_000 if text.isdecimal() and int(text) > 0 else None
