"""Starting the players, and hearing what they say."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.harness.node import with_packages
from tests.harness.waiting import until

HERE = Path(__file__).parent
DEBIAN_PYTHON = "/usr/bin/python3"  # the bindings of GStreamer are Debian's
WITHIN = 20.0  # seconds for anything a player does; the machine may be busy


def werift() -> list[str]:
    return ["node", str(with_packages(HERE / "werift" / "player.mjs"))]


def gstreamer() -> list[str]:
    return [DEBIAN_PYTHON, str(HERE / "gstreamer_player.py")]


PLAYERS: dict[str, Callable[[], Sequence[str]]] = {"gstreamer": gstreamer, "werift": werift}


class Player:
    """One viewer in a process of its own."""

    def __init__(self, name: str, endpoint: str) -> None:
        self.command = [*PLAYERS[name](), endpoint]
        self.said: list[dict[str, Any]] = []
        self.complaints: list[str] = []
        self.spoke = 0.0  # CLOCK_MONOTONIC seconds

    def __enter__(self) -> Self:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self.command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, bufsize=1)
        self._readers = [
            threading.Thread(target=self._hear, daemon=True),
            threading.Thread(target=lambda: self.complaints.extend(self._process.stderr or ()), daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join(5)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def heard(self, event: str) -> dict[str, Any] | None:
        """The last of that kind."""
        return next((said for said in reversed(self.said) if said["event"] == event), None)

    def wait(self, event: str, within: float = WITHIN) -> dict[str, Any]:
        """Until it says so; what it said last of that kind."""
        return until(lambda: self.heard(event), within=within, what=f"{event} of {self.command[0]}", explain=self._all)

    @property
    def frames(self) -> int:
        """Pictures so far."""
        return int((self.heard("frames") or {"count": 0})["count"])

    def wait_frames(self, more: int, within: float = WITHIN) -> None:
        goal = self.frames + more
        until(lambda: self.frames >= goal, within=within, what=f"{more} more frames of {self.command[0]}", explain=self._all)

    def wait_silence(self, seconds: float) -> None:
        """Until it has told of no further pictures for so long."""
        until(lambda: time.monotonic() - self.spoke >= seconds, within=WITHIN, what="the end of the pictures", explain=self._all)

    def leave(self) -> int:
        """Have it send DELETE; the status that it got."""
        assert self._process.stdin is not None
        self._process.stdin.write("leave\n")
        self._process.stdin.flush()
        return int(self.wait("left")["status"])

    def _hear(self) -> None:
        for line in self._process.stdout or ():
            self.said.append(json.loads(line))
            self.spoke = time.monotonic()

    def _all(self) -> str:
        return "\n".join([*map(str, self.said[-5:]), *self.complaints[-20:]])
