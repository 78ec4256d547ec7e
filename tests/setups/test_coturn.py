"""The shipped coturn configuration, with credentials that the real server mints: each peer's own, and good for their time only."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from edgecam.ice_servers.minted import minted
from edgecam.settings import IceServer
from tests.harness.ports import free_port
from tests.harness.waiting import until
from tests.server.scene import Town, play

CONFIG = Path(__file__).parents[2] / "config" / "coturn.conf"
SECRET = "0123456789abcdef" * 4
ANNA = "anna-" + "a" * 16


@dataclass(frozen=True, slots=True)
class Turn:
    port: int
    log: Path

    def allocates(self, username: str, credential: str) -> bool:
        """Whether coturn's own client, which is not ours, gets relays and sends through them with these credentials."""
        client = shutil.which("turnutils_uclient")
        assert client is not None, "turnutils_uclient is missing: apt-get install coturn"
        command = [client, "-y", "-n", "5", "-m", "1", "-c", "-p", str(self.port), "-u", username, "-w", credential, "127.0.0.1"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=8)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0 and "tot_recv_msgs=10" in done.stdout.replace(" ", "")


@pytest.fixture(scope="module")
def turn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Turn]:
    program = shutil.which("turnserver")
    if program is None:
        raise RuntimeError("turnserver is missing: apt-get install coturn")
    directory, port = tmp_path_factory.mktemp("coturn"), free_port()
    shipped = CONFIG.read_text()
    assert "static-auth-secret=CHANGE-ME" in shipped
    own = shipped.replace("static-auth-secret=CHANGE-ME", f"static-auth-secret={SECRET}")
    own = own.replace("listening-port=3478", f"listening-port={port}")
    # Here everything is one machine: its peers are what a relay on the Internet must not reach.
    own = re.sub(r"(?m)^denied-peer-ip=(127|::1).*\n", "", own)
    file, log = directory / "turnserver.conf", directory / "log"
    file.write_text(own + "\nlistening-ip=127.0.0.1\nrelay-ip=127.0.0.1\nallow-loopback-peers\nverbose\nlog-file=stdout\nno-tls\nno-dtls\n")
    with log.open("wb") as output:
        command = [program, "-c", str(file), "--pidfile", str(directory / "pid")]
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=directory)
    try:
        until(lambda: str(port) in log.read_text(errors="replace"), within=15, what="coturn listening", explain=log.read_text)
        yield Turn(port, log)
    finally:
        process.terminate()
        process.wait(10)


def test_every_peer_gets_credentials_of_its_own_that_coturn_takes_and_refreshed_ones_too(turn: Turn) -> None:
    shown: list[tuple[str, str]] = []
    server = IceServer(urls=(f"turn:127.0.0.1:{turn.port}?transport=udp",), secret=SecretStr(SECRET), ttl=3600)

    async def script(town: Town) -> None:
        camera, viewer = await town.connect(), await town.connect()
        answers = [await camera.register("sender", cameraId="front"), await viewer.register("receiver", cameraId="front", peerId=ANNA)]
        (await camera.next(), await viewer.next())
        await camera.send("get-turn-config")
        answers.append({"turnConfig": (await camera.next())["config"]})
        for answer in answers:
            (entry,) = answer["turnConfig"]["iceServers"]
            shown.append((entry["username"], entry["credential"]))
        assert SECRET not in str(answers)

    play(script, ice_servers=(server,))
    names = [username.partition(":")[2] for username, _ in shown]
    assert len(set(names[:2])) == 2
    assert names[2].startswith("edgecam.camera.front.")
    assert all(3500 < int(username.partition(":")[0]) - time.time() <= 3600 for username, _ in shown)
    for username, credential in shown:
        assert turn.allocates(username, credential), turn.log.read_text(errors="replace")[-2000:]
    said = turn.log.read_text(errors="replace")
    assert all(name in said for name in names)


def test_an_ended_or_altered_credential_opens_no_relay(turn: Turn) -> None:
    server = IceServer(urls=("turn:127.0.0.1",), secret=SecretStr(SECRET), ttl=60)
    ended = minted(server, time.time() - 3600, "peer")
    fresh = minted(server, time.time(), "peer")
    assert turn.allocates(fresh.username, fresh.credential.get_secret_value())
    assert not turn.allocates(ended.username, ended.credential.get_secret_value())
    later = re.sub(r"^\d+", str(int(time.time()) + 9999), fresh.username)
    assert not turn.allocates(later, fresh.credential.get_secret_value())


def test_the_shipped_relay_leads_into_no_private_network() -> None:
    text = CONFIG.read_text()
    for network in ("10.0.0.0", "172.16.0.0", "192.168.0.0", "127.0.0.0", "169.254.0.0", "fc00::", "::1"):
        assert f"denied-peer-ip={network}" in text
