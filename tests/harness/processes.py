"""A command of edgecam as a real process: started, listened to, ended, and never left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import edgecam
from tests.harness.waiting import until

HOME = Path(__file__).resolve().parents[2]
PACKAGE_HOME = str(Path(edgecam.__file__).resolve().parents[1])
END_WITHIN = 12.0  # seconds until a process that ignores SIGTERM is killed


def clean_environment(state_dir: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours without anything that edgecam would take for configuration, and with a state directory of the test."""
    unwanted = ("EDGECAM_", "NOTIFY_SOCKET", "WATCHDOG_", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY", "JOURNAL_STREAM")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    path = os.pathsep.join(filter(None, (PACKAGE_HOME, kept.get("PYTHONPATH"))))
    return {**kept, "PYTHONPATH": path, "XDG_STATE_HOME": str(state_dir), "PYTHONUNBUFFERED": "1", **(extra or {})}


def run_edgecam(
    *arguments: str | Path, state_dir: Path, env: Mapping[str, str] | None = None, within: float = 30.0
) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself; both of its outputs are kept."""
    return subprocess.run(
        [sys.executable, "-m", "edgecam", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=within,
        env=clean_environment(state_dir, env),
        cwd=state_dir,
    )


def children(pid: int) -> list[int]:
    """Living child processes of `pid`; those of which only the exit code is left do not count."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(stat.parent.name))
    return sorted(found)


def alive(pid: int) -> bool:
    """Whether a process exists and is more than an exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Edgecam:
    """`python -m edgecam ARGUMENTS`, running. Use as a context manager; leaving it ends the process for certain."""

    module = "edgecam"
    python: Sequence[str] = (sys.executable,)

    def __init__(self, arguments: Sequence[str | Path], state_dir: Path, env: Mapping[str, str] | None = None) -> None:
        self.arguments = [str(argument) for argument in arguments]
        self.state_dir = state_dir
        self.env = dict(env or {})
        self.lines: list[str] = []  # of standard error
        self.printed: list[str] = []  # on standard output
        self._process: subprocess.Popen[str] | None = None
        self._readers: list[threading.Thread] = []

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        if error is not None:
            print(f"--- {' '.join(self.arguments)}: the last lines of its log ---", *self.lines[-40:], sep="\n")

    def start(self) -> None:
        """Start the process, which must not be running."""
        assert self._process is None
        self._process = subprocess.Popen(
            [*self.python, "-m", self.module, *self.arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(self.state_dir, self.env),
            cwd=self.state_dir,
        )
        for stream, kept in ((self._process.stdout, self.printed), (self._process.stderr, self.lines)):
            reader = threading.Thread(target=_keep_lines, args=(stream, kept), daemon=True)
            reader.start()
            self._readers.append(reader)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._process.poll() if self._process is not None else None

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, within: float) -> int:
        """The exit code. Fails when the process has not ended by then."""
        assert self._process is not None
        try:
            code = self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {within:g} s: {' '.join(self.arguments)}") from None
        for reader in self._readers:
            reader.join(5.0)
        return code

    def terminate(self, *, within: float) -> float:
        """SIGTERM; asserts exit code 0 in time and that no child is left, and returns the seconds it took."""
        left = children(self.pid)
        started = time.monotonic()
        self.signal(signal.SIGTERM)
        code = self.wait(within)
        took = time.monotonic() - started
        assert code == 0, f"exit code {code} after SIGTERM"
        assert not [pid for pid in left if alive(pid)], "a capture process outlived the daemon"
        return took

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.signal(signal.SIGKILL)
        self.wait(5.0)

    def end(self) -> None:
        """End it politely, then by force; its children too. Fails when it did not leave in good order."""
        process, self._process = self._process, None
        if process is None:
            return
        offspring = children(process.pid)
        ended_by_itself = process.poll() is not None
        if not ended_by_itself:
            process.terminate()
            try:
                process.wait(END_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pid in filter(alive, offspring):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for reader in self._readers:
            reader.join(5.0)
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()
        self._readers = []
        how = f"exit code {process.returncode} after SIGTERM: {' '.join(self.arguments)}"
        assert ended_by_itself or process.returncode == 0, how

    def restart(self) -> None:
        """The same command once more, after the first has ended in whatever way."""
        self.end()
        self.start()

    # what it says

    @property
    def log(self) -> list[dict[str, Any]]:
        """The lines of its log that are JSON objects, oldest first."""
        found = []
        for line in list(self.lines):
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict):
                    found.append(entry)
        return found

    def logged(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """Log entries of that event whose keys hold these values."""
        return [
            entry
            for entry in self.log
            if entry.get("event") == event and all(entry.get(key) == value for key, value in fields.items())
        ]

    def assert_quiet(self) -> None:
        """It has logged no error and printed no traceback: nothing so far went wrong in a way nobody foresaw."""
        loud = [entry for entry in self.log if entry.get("level") in {"error", "critical"} or "exception" in entry]
        found = [*map(str, loud), *(line for line in self.lines if not line.startswith("{"))]
        assert not found, "\n".join(found)

    def wait_logged(self, event: str, *, within: float = 10.0, **fields: object) -> dict[str, Any]:
        """The first such entry, waited for."""
        return until(
            lambda: next(iter(self.logged(event, **fields)), None),
            within=within,
            what=f"a log line {event} {fields}",
            explain=lambda: "\n".join(self.lines[-30:]),
        )


def _keep_lines(stream: Any, kept: list[str]) -> None:
    with contextlib.suppress(ValueError):  # closed under our feet once the process has ended
        for line in stream:
            kept.append(line.rstrip("\n"))  # noqa: PERF401 - others read the list meanwhile
