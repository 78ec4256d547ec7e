"""What systemd does with a Type=notify service that has WatchdogSec and Restart=always, for one daemon of a test."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.harness.daemons import Daemon
from tests.harness.waiting import until

RESTART_SEC = 1.0
FROZEN = 1.0  # seconds that waiting for 0.05 never takes
ABORT_WITHIN = 5.0  # seconds from SIGABRT to SIGKILL


@dataclass(frozen=True, slots=True)
class Restart:
    """Why and when (CLOCK_MONOTONIC seconds) the daemon was started anew."""

    why: str  # "watchdog", "trigger", or "exit CODE"
    at: float


@dataclass(slots=True)
class Service:
    """A daemon under its manager, made by `make`. `status` and `ready` are what it said last; `restarts` what was done about it.

    The watchdog runs from READY on, as systemd's does.
    """

    config: Mapping[str, Any]
    directory: Path
    watchdog: float  # seconds
    env: Mapping[str, str] = field(default_factory=dict)
    make: Callable[..., Daemon] = Daemon
    daemon: Daemon = field(init=False)
    status: str = ""
    statuses: list[str] = field(default_factory=list)
    ready: int = 0
    fed: int = 0
    hungriest: float = 0.0  # seconds that the watchdog waited at most, while the daemon was ready
    frozen: float = 0.0  # seconds for which the machine stood still
    _fed_at: float = 0.0
    restarts: list[Restart] = field(default_factory=list)
    _socket: socket.socket = field(init=False)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread = field(init=False)
    _due: float = float("inf")

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        address = self.directory / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(address))
        told = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": str(round(self.watchdog * 1e6))}
        self.daemon = self.make(self.config, self.directory, env={**self.env, **told})
        self._thread = threading.Thread(target=self._manage, name="service manager", daemon=True)

    def __enter__(self) -> Self:
        try:
            self.daemon.__enter__()
        except BaseException:
            self._socket.close()
            raise
        self._thread.start()
        try:
            until(lambda: self.ready, within=25, what="READY=1", explain=lambda: self.daemon.lines[-20:])
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(60)
        self._socket.close()
        self.daemon.__exit__(kind, error, trace)

    def wait_restart(self, count: int, within: float) -> Restart:
        """Until it was restarted that often in all, and is ready again; the last one."""
        until(lambda: len(self.restarts) >= count, within=within, what=f"restart {count}", explain=lambda: self.daemon.lines[-20:])
        until(lambda: self._due < float("inf"), within=40, what="READY=1 after a restart")
        return self.restarts[count - 1]

    # the manager

    def _manage(self) -> None:
        self._socket.settimeout(0.05)
        while not self._stopping.is_set():
            turned = time.monotonic()
            with contextlib.suppress(TimeoutError):
                self._hear(self._socket.recv(65536).decode())
            self._excuse(time.monotonic() - turned)
            code = self.daemon.returncode
            if code is not None:
                self._restart(f"exit {code}")
            elif time.monotonic() > self._due:
                self._abort("watchdog")

    def _excuse(self, seconds: float) -> None:
        """Whoever froze us for so long, in a call that takes none, froze the daemon too."""
        if seconds > FROZEN:
            self.frozen += seconds
            self._due += seconds
            self._fed_at += seconds

    def _hear(self, message: str) -> None:
        for line in message.splitlines():
            if line == "READY=1":
                self.ready += 1
                self._feed()
            elif line == "WATCHDOG=1":
                self.fed += 1
                if self._due < float("inf"):
                    self.hungriest = max(self.hungriest, time.monotonic() - self._fed_at)
                    self._feed()
            elif line == "WATCHDOG=trigger":
                self._abort("trigger")
            elif line.startswith("STATUS="):
                self.status = line.removeprefix("STATUS=")
                self.statuses.append(self.status)

    def _feed(self) -> None:
        self._fed_at = time.monotonic()
        self._due = self._fed_at + self.watchdog

    def _abort(self, why: str) -> None:
        for number in (signal.SIGABRT, signal.SIGCONT):
            self.daemon.signal(number)
        try:
            self.daemon.wait(ABORT_WITHIN)
        except AssertionError:
            self.daemon.kill()
        self._restart(why)

    def _restart(self, why: str) -> None:
        self._due = float("inf")
        self._forget_the_dead()
        self.restarts.append(Restart(why, time.monotonic()))
        if not self._stopping.wait(RESTART_SEC):
            self.daemon.restart()

    def _forget_the_dead(self) -> None:
        """What the dead one still had to say does not count for the next."""
        self._socket.setblocking(False)
        while True:
            try:
                self._socket.recv(65536)
            except BlockingIOError:
                break
        self._socket.settimeout(0.05)

