"""Programs that run beside all other tests, so that they cost these no time: begun when tests are collected, awaited in their turn."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parents[2]
PIDS = "EDGECAM_TESTS_BESIDE"  # in the environment, for tests that count their children
END_WITHIN = 20.0  # seconds


class Beside:
    """`python -m MODULE ARGUMENTS`, begun when a test that uses `fixture` is among those collected. Its conftest calls `begin` in
    pytest_collection_finish, `end` in pytest_unconfigure, and `result` in the fixture."""

    def __init__(self, fixture: str, *command: str) -> None:
        self._fixture = fixture
        self._command = [sys.executable, "-m", *command]
        self._process: subprocess.Popen[str] | None = None

    def begin(self, session: pytest.Session) -> None:
        wanted = any(self._fixture in getattr(item, "fixturenames", ()) for item in session.items)
        if wanted and not session.config.option.collectonly:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=HOME
            )
            os.environ[PIDS] = f"{os.environ.get(PIDS, '')} {self._process.pid}"

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(END_WITHIN)

    def result(self, within: float) -> tuple[int, str]:
        """Exit code and output."""
        assert self._process is not None
        output, _ = self._process.communicate(timeout=within)
        return self._process.returncode, output


def pids() -> set[int]:
    """Of all programs that were begun so."""
    return {int(pid) for pid in os.environ.get(PIDS, "").split()}
