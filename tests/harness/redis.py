"""A real Redis, or Valkey, on a port and in a directory of the test's own."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.ports import free_port
from tests.harness.waiting import until

PROGRAMS = ("valkey-server", "redis-server")


class Redis:
    """`redis-server`, running. Leaving the block ends it for certain."""

    def __init__(self, directory: Path, password: str = "") -> None:
        self.port = free_port()
        self._directory = directory
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        login = f":{self._password}@" if self._password else ""
        return f"redis://{login}127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start with nothing kept, and wait until it answers."""
        program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
        if program is None:
            raise RuntimeError("neither valkey-server nor redis-server is installed: apt-get install redis-server")
        self._directory.mkdir(parents=True, exist_ok=True)
        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": self._directory}
        if self._password:
            options["requirepass"] = self._password
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        log = (self._directory / "redis.log").open("ab")
        with log:
            self._process = subprocess.Popen([program, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(self._answers, within=10.0, what="an answer from Redis", explain=(self._directory / "redis.log").read_text)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(5.0)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def command(self, *words: str) -> str:
        """One command by `redis-cli`'s inline protocol; the raw reply."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5.0) as connection:
            if self._password:
                connection.sendall(f"AUTH {self._password}\r\n".encode())
                connection.recv(1024)
            connection.sendall((" ".join(words) + "\r\n").encode())
            return connection.recv(65536).decode()

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "Redis has ended"
        try:
            return self.command("PING").startswith("+PONG")
        except OSError:
            return False
