"""Start a capture process, hear what it prints, and be rid of it whatever state it is in."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import site
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import structlog

import edgecam
from edgecam.errors import CaptureError

log = structlog.get_logger(__name__)

STDERR_LINES = 60  # of what a dead child said, kept for the error
STDERR_LINE_CHARS = 500
# A child killed while a driver holds it (state D) may stay for hours: after this long nobody waits for it any more.
REAP_TIMEOUT = 1.0  # seconds
CHILD_MODULE, SOUND_MODULE, SPEAKER_MODULE = (f"edgecam.capture.{name}child" for name in ("", "sound", "speaker"))
POLL_INTERVAL = 0.01  # seconds; asked only of a process that is about to end
PRIVATE = ("EDGECAM_", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_")  # no business of a capture process
# Added to the score by which the kernel chooses whom to kill when memory is used up: this process is replaced within a
# second, where the daemon's end would be every viewer's.
OOM_SCORE_ADJUST = 300
SOCKET_BUFFER = 4 << 20  # bytes asked for; the kernel gives what net.core.wmem_max allows


class Child(asyncio.Protocol):
    """A running capture process: its output, and its end.

    asyncio's own subprocesses are not used: on Python 3.11 each costs a thread that waits for its end, and a machine
    that is out of threads would be left with a process that nobody can end.
    """

    def __init__(self, camera: str, process: subprocess.Popen[bytes]) -> None:
        self.stderr: deque[str] = deque(maxlen=STDERR_LINES)
        self.pid = process.pid
        self._process = process
        self._silent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._log = log.bind(camera=camera)
        self._partial = b""
        self._pipe: asyncio.ReadTransport | None = None

    async def listen(self) -> None:
        """Begin to hear what it prints. Raises OSError."""
        self._pipe, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: self, self._process.stderr)

    def data_received(self, data: bytes) -> None:
        *lines, self._partial = (self._partial + data).split(b"\n")
        self._partial = self._partial[-STDERR_LINE_CHARS:]
        for line in lines:
            text = line.decode(errors="replace")[:STDERR_LINE_CHARS].rstrip()
            self.stderr.append(text)
            self._log.debug("capture.stderr", line=text)

    def connection_lost(self, exc: Exception | None) -> None:
        self._silent.set_result(None)  # everything it printed has been read

    @property
    def silent(self) -> asyncio.Future[None]:
        """Done when it can print no more, because it has ended."""
        return self._silent

    @property
    def returncode(self) -> int | None:
        """None while it runs, negative for the signal that ended it; asking reaps it."""
        return self._process.poll()

    async def exited(self, timeout: float) -> bool:
        """Wait for its end and its last words, at most `timeout` seconds; whether it has ended."""
        give_up = time.monotonic() + timeout
        while self.returncode is None:
            if time.monotonic() >= give_up:
                return False
            await asyncio.sleep(POLL_INTERVAL)
        if self._pipe is not None:
            await asyncio.wait([self._silent], timeout=max(0.0, give_up - time.monotonic()))
        return True

    async def kill(self) -> None:
        """End the process and whatever it started; returns within REAP_TIMEOUT, dead or not."""
        assert self._process.stderr is not None
        try:
            if self.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
            if not await self.exited(REAP_TIMEOUT):
                self._log.warning("capture.unkillable", pid=self.pid, detail="a driver holds the process; left behind")
        finally:
            if self._pipe is not None:
                self._pipe.close()
            self._process.stderr.close()


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


@contextlib.contextmanager
def starting(camera: str) -> Iterator[None]:
    """Whatever keeps a process from being started, as a CaptureError (capture-crashed)."""
    try:
        yield
    except (OSError, RuntimeError, MemoryError, subprocess.SubprocessError) as error:
        why = (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
        raise CaptureError(
            f"camera {camera}: cannot start a process: {why}",
            remedy="look for exhausted memory, process limits or file descriptors",
            code="capture-crashed",
        ) from error


@contextlib.asynccontextmanager
async def capture_child(camera: str, module: str = "") -> AsyncIterator[tuple[Child, socket.socket]]:
    """A capture process and the socket to it, the caller's to close; on leaving, the process is killed and reaped.

    Raises CaptureError (capture-crashed) when it cannot be started.
    """
    with starting(camera):
        process, ours = _start(module or CHILD_MODULE)
    child = Child(camera, process)
    try:
        with starting(camera):
            await child.listen()
        yield child, ours
    finally:
        ours.close()
        await child.kill()


def _start(module: str) -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = _socketpair()
    with theirs, contextlib.ExitStack() as cleanup:
        cleanup.callback(ours.close)
        # subprocess.DEVNULL leaks a descriptor in Python 3.11.2 when there are too few for the rest.
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        cleanup.callback(os.close, nothing)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, str(theirs.fileno())],
            stdin=nothing,
            stdout=nothing,
            stderr=subprocess.PIPE,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
            env=child_environment(),
        )
        cleanup.pop_all()
        os.close(nothing)
    with contextlib.suppress(OSError):  # it has ended already, or /proc is closed
        Path(f"/proc/{process.pid}/oom_score_adj").write_text(str(OOM_SCORE_ADJUST))
    return process, ours
