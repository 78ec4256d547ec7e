"""Programs of others that listen on a port: signaling servers that tests are run against."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.ports import free_port
from tests.harness.processes import PACKAGE_HOME
from tests.harness.waiting import until
from tests.harness.web import request

START_WITHIN = 30.0  # seconds
END_WITHIN = 5.0  # seconds


class ForeignServer:
    """A command that serves HTTP on the port it is given in place of `PORT`. Use as a context manager."""

    def __init__(self, command: Sequence[str | Path], *, healthy: str = "/healthz", env: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self._command = [str(self.port) if part == "PORT" else str(part) for part in command]
        self._healthy = healthy
        self._env = {**os.environ, "PYTHONPATH": PACKAGE_HOME, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._said = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - as long as the server is used

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is not None:
            print(f"--- {' '.join(self._command)} ---", self.said, sep="\n")
        self._said.close()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=self._said, stderr=subprocess.STDOUT, env=self._env
        )
        until(self._answers, within=START_WITHIN, what=f"an answer of {self._command}", explain=lambda: self.said)

    def stop(self) -> None:
        """End it as a machine does that is switched off: nobody is told."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait(END_WITHIN)

    def restart(self) -> None:
        self.stop()
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def said(self) -> str:
        """What it has printed."""
        self._said.seek(0)
        return self._said.read().decode(errors="replace")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"it has ended: {self.said}"
        try:
            return request(self.port, "GET", self._healthy).status == 200
        except OSError:
            return False


def python_module(name: str, *arguments: str) -> list[str]:
    """The command for a module of the tests."""
    return [sys.executable, "-m", name, *arguments]
