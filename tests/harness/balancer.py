"""The load balancer that the documentation describes, as a real haproxy in front of servers of a test."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.ports import free_port
from tests.harness.waiting import until

HAPROXY = Path("/usr/sbin/haproxy")
DOCUMENT = Path(__file__).parents[2] / "docs" / "server-cluster.md"


class Balancer:
    """`haproxy` with the documented configuration, the addresses replaced. Leaving the block ends it for certain."""

    def __init__(self, directory: Path, servers: Mapping[str, int]) -> None:
        self.port = free_port()
        self._directory = directory
        self._servers = dict(servers)
        self._control = directory / "control"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    def __enter__(self) -> Self:
        if not HAPROXY.exists():
            raise RuntimeError(f"{HAPROXY} is missing: apt-get install haproxy")
        self._directory.mkdir(parents=True, exist_ok=True)
        file = self._directory / "haproxy.cfg"
        file.write_text(self._configuration())
        log = self._directory / "haproxy.log"
        with log.open("ab") as out:
            arguments = [str(HAPROXY), "-db", "-f", str(file)]
            self._process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            until(self._answers, within=10.0, what="an answer from haproxy", explain=log.read_text)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(5.0)

    def _configuration(self) -> str:
        (text,) = re.findall(r"```haproxy\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
        text, binds = re.subn(r"bind :80\b", f"bind 127.0.0.1:{self.port}", text)
        assert binds == 1
        for name, port in self._servers.items():
            text, servers = re.subn(rf"(server {name}) \S+", rf"\1 127.0.0.1:{port}", text)
            assert servers == 1
        return text.replace("global\n", f"global\n    stats socket {self._control} level admin\n", 1)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "haproxy has ended"
        try:
            return all("UP" in self._states()[name] for name in self._servers)
        except OSError:
            return False

    def _states(self) -> dict[str, str]:
        rows = [line.split(",") for line in self.command("show stat").splitlines()]
        return {row[1]: row[17] for row in rows if row[0] == "instances"}

    def only(self, *names: str) -> None:
        """New connections go to these servers; those that there are stay."""
        for name in self._servers:
            self.command(f"set server instances/{name} state {'ready' if name in names else 'drain'}")
        ready = set(names)
        until(
            lambda: all(("UP" in state) == (name in ready) for name, state in self._states().items() if name in self._servers),
            within=10.0,
            what=f"only {names} take new connections",
            explain=self._states,
        )

    def command(self, text: str) -> str:
        """One command of haproxy's runtime API."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._control))
            connection.sendall(f"{text}\n".encode())
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()
