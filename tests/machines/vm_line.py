"""The line to the agent inside a virtual machine: commands in, what came of them out."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

ANSWER_GRACE = 10.0  # seconds beyond a command's own time until the machine counts as dead


class MachineError(Exception):
    """The virtual machine did not do what a test relies on."""


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended inside the machine."""

    code: int
    out: str
    err: str


class Line:
    """A connected UNIX socket, whose other end is a serial port of the machine. Safe to use from several threads."""

    def __init__(self, path: Path, within: float) -> None:
        self._socket = _connected(path, within)
        self._numbers = count(1)
        self._pending: dict[int, Future[Done]] = {}
        self._heard = threading.Condition()
        self._boots: list[str] = []
        self._closed = False
        self._reader = threading.Thread(target=self._read, name="virtual machine", daemon=True)
        self._reader.start()

    @property
    def boots(self) -> int:
        """How often the machine has come up since it was started."""
        return len(self._boots)

    def wait_boot(self, number: int, within: float) -> None:
        """Until it has come up `number` times."""
        with self._heard:
            self._heard.wait_for(lambda: self._closed or self.boots >= number, within)
        if self.boots < number:
            raise MachineError("it has ended" if self._closed else f"it did not come up within {within:g} s")

    def run(self, *command: str, stdin: str = "", within: float = 30.0) -> Done:
        """A command and its end, whatever its exit code. Raises MachineError when the machine does not answer."""
        number = next(self._numbers)
        answer: Future[Done] = Future()
        with self._heard:
            if self._closed:
                raise MachineError("it has ended")
            self._pending[number] = answer
            order = {"id": number, "command": command, "stdin": stdin, "within": within}
            self._socket.sendall(json.dumps(order).encode() + b"\n")
        try:
            return answer.result(within + ANSWER_GRACE)
        except FutureTimeoutError:
            raise MachineError(f"no answer to {command}") from None

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):  # it has hung up
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._socket.close()

    def _read(self) -> None:
        waiting = b""
        while chunk := self._receive():
            *lines, waiting = (waiting + chunk).split(b"\n")
            for line in lines:
                # A machine that is switched off in the middle of a word begins its next line there.
                start = line.rfind(b'{"hello"')
                self._take(json.loads(line[max(0, start) :]))
        with self._heard:
            self._closed = True
            self._forget("it has ended")
            self._heard.notify_all()

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(65536)
        except OSError:
            return b""

    def _take(self, message: dict[str, Any]) -> None:
        with self._heard:
            if "hello" in message:
                self._boots.append(message["hello"])
                self._forget("it was started anew meanwhile")
                self._heard.notify_all()
            elif (pending := self._pending.pop(message["id"], None)) is not None:
                pending.set_result(Done(message["code"], message["out"], message["err"]))

    def _forget(self, why: str) -> None:
        for pending in self._pending.values():
            pending.set_exception(MachineError(why))
        self._pending.clear()


def _connected(path: Path, within: float) -> socket.socket:
    deadline = time.monotonic() + within
    while True:
        line = socket.socket(socket.AF_UNIX)
        try:
            line.connect(str(path))
        except OSError:
            line.close()
            if time.monotonic() > deadline:
                raise MachineError(f"nothing listens at {path}") from None
            time.sleep(0.02)
        else:
            return line
