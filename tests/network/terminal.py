"""A command started by a person at a terminal: what it prints is read from the other end of a pty."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness.processes import clean_environment
from tests.network.namespaces import Machine


@dataclass(slots=True)
class Screen:
    """What stands on the terminal, and what went into the log beside it (standard error, redirected to a file)."""

    log: Path
    lines: list[str] = field(default_factory=list)

    @property
    def logged(self) -> str:
        return self.log.read_text()


@contextmanager
def at_a_terminal(where: Machine, arguments: Sequence[str | Path], directory: Path) -> Iterator[Screen]:
    """`edgecam ARGUMENTS` on that machine with standard output on a terminal; ended with SIGTERM."""
    directory.mkdir(parents=True, exist_ok=True)
    screen = Screen(directory / "stderr")
    ours, theirs = pty.openpty()
    with screen.log.open("wb") as log, where.inside():
        process = subprocess.Popen(
            [sys.executable, "-m", "edgecam", *map(str, arguments)],
            stdin=theirs,
            stdout=theirs,
            stderr=log,
            env=clean_environment(directory),
            cwd=directory,
        )
    os.close(theirs)
    reader = threading.Thread(target=_read, args=(ours, screen.lines), daemon=True)
    reader.start()
    try:
        yield screen
    finally:
        process.terminate()
        try:
            process.wait(10)
        finally:
            process.kill()
            process.wait()
            reader.join(5)
            os.close(ours)


def _read(terminal: int, lines: list[str]) -> None:
    rest = b""
    with contextlib.suppress(OSError):  # EIO: the last process on the terminal has ended
        while data := os.read(terminal, 4096):
            *whole, rest = (rest + data).split(b"\n")
            lines += [line.decode().rstrip("\r") for line in whole]
