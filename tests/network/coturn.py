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
from dataclasses import dataclass
from pathlib import Path

from tests.harness.waiting import until
from tests.network.namespaces import PUBLIC_ADDRESS, Machine

PORT = 3478
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


@dataclass(frozen=True, slots=True)
class Coturn:
    """A running server, its URL, and what it says."""

    log: Path
    url: str = f"turn:{PUBLIC_ADDRESS}:{PORT}?transport=udp"

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")


@contextmanager
def coturn(where: Machine, directory: Path, mechanism: str = LONG_TERM) -> Iterator[Coturn]:
    """coturn on PUBLIC_ADDRESS of that machine. `mechanism` is how it knows its users."""
    program = shutil.which("turnserver")
    if program is None:
        raise RuntimeError("turnserver is missing: apt-get install coturn")
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "turnserver.conf"
    config.write_text(f"{COMMON}{mechanism}pidfile={directory}/pid\nuserdb={directory}/users\n")
    server = Coturn(directory / "log")
    with server.log.open("wb") as log, where.inside():
        process = subprocess.Popen(
            [program, "-c", str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=directory
        )
    try:
        until(
            lambda: "relay" in server.said and _listens(where),
            within=10,
            what="coturn listening",
            explain=lambda: server.said,
        )
        yield server
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


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
