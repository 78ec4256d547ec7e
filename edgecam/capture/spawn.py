"""Start a capture process, hear what it prints, and be rid of it whatever state it is in."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import site
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

import edgecam
from edgecam.errors import CaptureError

log = structlog.get_logger(__name__)

STDERR_LINES = 60  # of what a dead child said, kept for the error
STDERR_LINE_CHARS = 500
# A child killed while a driver holds it (state D) may stay for hours: after this long it is the kernel's.
REAP_TIMEOUT = 1.0  # seconds
PRIVATE = ("EDGECAM_", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_")  # no business of a capture process
SOCKET_BUFFER = 4 << 20  # bytes asked for; the kernel gives what net.core.wmem_max allows


class Child(asyncio.SubprocessProtocol):
    """A running capture process: its output, and its end."""

    def __init__(self, camera: str) -> None:
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.stderr: deque[str] = deque(maxlen=STDERR_LINES)
        self._log = log.bind(camera=camera)
        self._partial = b""
        self._transport: asyncio.SubprocessTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        *lines, self._partial = (self._partial + data).split(b"\n")
        self._partial = self._partial[-STDERR_LINE_CHARS:]
        for line in lines:
            text = line.decode(errors="replace")[:STDERR_LINE_CHARS].rstrip()
            self.stderr.append(text)
            self._log.debug("capture.stderr", line=text)

    def connection_lost(self, exc: Exception | None) -> None:
        self.finished.set_result(None)  # it has exited and everything it printed has been read

    @property
    def pid(self) -> int:
        assert self._transport is not None
        return self._transport.get_pid()

    @property
    def returncode(self) -> int | None:
        """None while it runs, negative for the signal that ended it."""
        return self._transport.get_returncode() if self._transport is not None else None

    async def exited(self, timeout: float) -> bool:
        """Wait for its end, at most `timeout` seconds."""
        await asyncio.wait([self.finished], timeout=timeout)
        return self.finished.done()

    async def kill(self) -> None:
        """End the process and whatever it started; returns within REAP_TIMEOUT, dead or not."""
        assert self._transport is not None
        try:
            if self.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
            if not await self.exited(REAP_TIMEOUT):
                self._log.warning("capture.unkillable", pid=self.pid, detail="a driver holds the process; left behind")
        finally:
            self._transport.close()


def child_environment() -> dict[str, str]:
    """Ours without secrets and systemd's sockets, plus the way to this very copy of the package if not installed."""
    home = str(Path(edgecam.__file__).resolve().parents[1])
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PRIVATE)}
    if home not in (*site.getsitepackages(), site.getusersitepackages()):
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (home, environment.get("PYTHONPATH"))))
    return environment


def _socketpair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
    ours.setblocking(False)
    return ours, theirs


@contextlib.asynccontextmanager
async def capture_child(camera: str) -> AsyncIterator[tuple[Child, socket.socket]]:
    """A capture process and the socket to it, the caller's to close; on leaving, the process is killed and reaped.

    Raises CaptureError (capture-crashed) when it cannot be started.
    """
    try:
        child, ours = await _start(camera)
    except OSError as error:
        raise CaptureError(
            f"camera {camera}: cannot start a process: {error.strerror}",
            remedy="look for exhausted memory, process limits or file descriptors",
            code="capture-crashed",
        ) from error
    try:
        yield child, ours
    finally:
        ours.close()
        await child.kill()


async def _start(camera: str) -> tuple[Child, socket.socket]:
    ours, theirs = _socketpair()
    with theirs, contextlib.ExitStack() as cleanup:
        cleanup.callback(ours.close)
        _transport, child = await asyncio.get_running_loop().subprocess_exec(
            lambda: Child(camera),
            *(sys.executable, "-P", "-m", "edgecam.capture.child", str(theirs.fileno())),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
            env=child_environment(),
        )
        cleanup.pop_all()
    return child, ours
