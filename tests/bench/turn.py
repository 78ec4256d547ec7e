"""A TURN server on this machine, servers that are silent, and daemons that are told of them."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgecam.rtc.ice.addresses import usable_addresses
from edgecam.settings import IceSettings
from tests.bench.scene import CAMERA, QUIET
from tests.harness.daemons import Daemon
from tests.harness.ports import free_port
from tests.harness.waiting import until

USER, PASSWORD = "bench", "of no worth"
CONFIGURATION = """
listening-ip={address}
relay-ip={address}
listening-port={port}
realm=bench
lt-cred-mech
user={user}:{password}
no-tls
no-dtls
no-cli
pidfile={directory}/pid
userdb={directory}/users
log-file=stdout
simple-log
"""


@contextmanager
def turn_server(directory: Path) -> Iterator[str]:
    """coturn on this machine's own address, which is where media goes even on loopback; its URL."""
    program = shutil.which("turnserver")
    if program is None:
        raise RuntimeError("turnserver is missing: apt-get install coturn")
    directory.mkdir(parents=True)
    address = next(local.address for local in usable_addresses(IceSettings(ipv6=False)))
    port = free_port()
    settings = {"address": address, "port": port, "user": USER, "password": PASSWORD, "directory": directory}
    (directory / "turnserver.conf").write_text(CONFIGURATION.format(**settings))
    with (directory / "log").open("wb") as log:
        command = [program, "-c", str(directory / "turnserver.conf")]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=directory)
        try:
            yield f"turn:{address}:{port}?transport=udp"
        finally:
            process.terminate()
            process.wait(10)


@contextmanager
def silent_servers() -> Iterator[list[str]]:
    """The URLs of a STUN and a TURN server that take everything and answer nothing."""
    address = next(local.address for local in usable_addresses(IceSettings(ipv6=False)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stun, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as turn:
        for each in (stun, turn):
            each.bind((address, 0))
        yield [f"stun:{address}:{stun.getsockname()[1]}", f"turn:{address}:{turn.getsockname()[1]}?transport=udp"]


@contextmanager
def daemon_with(urls: Sequence[str], ice: Mapping[str, Any], directory: Path) -> Iterator[Daemon]:
    """The bench's camera, with these servers in its list. Where a relay is to stand by, it does."""
    daemon = Daemon({"log": QUIET, "camera": {"front": CAMERA}, "ice": dict(ice)}, directory)
    login = f'username = "{USER}"\ncredential = "{PASSWORD}"\n'
    entries = [f"\n[[ice.servers]]\nurls = {json.dumps(url)}\n{login if url.startswith('turn') else ''}" for url in urls]
    daemon.file.write_text("".join([daemon.file.read_text(), *entries]))
    with daemon:
        daemon.wait_ready()
        if ice.get("standby_relay"):
            until(lambda: daemon.status()["ice"]["standby"]["ready"], within=10, what="a relay that stands by")
        yield daemon
