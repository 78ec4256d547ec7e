"""A real TURN server for the length of a test."""

from __future__ import annotations

import base64
import hashlib
import hmac
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness.waiting import until
from tests.network.namespaces import PUBLIC_ADDRESS, Machine

PORT = 3478
TLS_PORT = 5349
USER, PASSWORD = "camera", "correct horse"
SECRET = "shared by the TURN server and whoever makes credentials"
COMMON = f"""
listening-ip={PUBLIC_ADDRESS}
relay-ip={PUBLIC_ADDRESS}
listening-port={PORT}
min-port=50000
max-port=50100
realm=edgecam.test
no-tls
no-dtls
no-cli
fingerprint
simple-log
log-file=stdout
verbose
"""
LONG_TERM = f"lt-cred-mech\nuser={USER}:{PASSWORD}\n"
TIME_LIMITED = f"use-auth-secret\nstatic-auth-secret={SECRET}\n"


class Coturn:
    """A server on PUBLIC_ADDRESS of a machine, its URL, and what it says."""

    url = f"turn:{PUBLIC_ADDRESS}:{PORT}?transport=udp"

    def __init__(self, where: Machine, config: Path) -> None:
        self.log = config.with_name("log")
        self._where = where
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def start(self) -> None:
        """Start it, and wait until it listens."""
        program = shutil.which("turnserver")
        if program is None:
            raise RuntimeError("turnserver is missing: apt-get install coturn")
        with self.log.open("wb") as log, self._where.inside():
            self._process = subprocess.Popen(
                [program, "-c", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._config.parent,
            )
        until(
            lambda: "relay" in self.said and _listens(self._where),
            within=10,
            what="coturn listening",
            explain=lambda: self.said,
        )

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it without a word to anybody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def coturn(
    where: Machine, directory: Path, mechanism: str = LONG_TERM, certificate: tuple[Path, Path] | None = None
) -> Iterator[Coturn]:
    """coturn on PUBLIC_ADDRESS of that machine. `mechanism` is how it knows its users, and whatever else is to stand in its
    configuration; with `certificate` (its file, its key's file) it speaks TLS on TLS_PORT as well."""
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "turnserver.conf"
    common = COMMON
    if certificate is not None:
        chain, key = certificate
        common = common.replace("no-tls\n", f"tls-listening-port={TLS_PORT}\ncert={chain}\npkey={key}\n")
    config.write_text(f"{common}{mechanism}pidfile={directory}/pid\nuserdb={directory}/users\n")
    server = Coturn(where, config)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _listens(where: Machine) -> bool:
    """Whether a UDP socket on its port is there; the kernel's table is per namespace."""
    with where.inside():
        table = Path("/proc/thread-self/net/udp").read_text()
    return any(line.split()[1].endswith(f":{PORT:04X}") for line in table.splitlines()[1:])


def time_limited_credentials(name: str) -> tuple[str, str]:
    """User name and password for an hour, as a web app's back end makes them (the TURN REST API)."""
    user = f"{int(time.time()) + 3600}:{name}"
    digest = hmac.new(SECRET.encode(), user.encode(), hashlib.sha1).digest()
    return user, base64.b64encode(digest).decode()
