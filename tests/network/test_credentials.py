"""Time-limited credentials at a real TURN server: what is minted is taken, and a session outlives its credential."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from edgecam.ice_servers.minted import minted
from edgecam.rtc.ice.servers import servers_of
from edgecam.rtc.ice.transactions import StunError
from edgecam.rtc.ice.turn import Allocation
from edgecam.settings import IceServer
from tests.harness.ports import free_port
from tests.harness.waiting import until
from tests.network.coturn import PORT, SECRET, TIME_LIMITED, Coturn, coturn, time_limited_credentials
from tests.network.hosts import RemoteDaemon, RemoteServer
from tests.network.namespaces import PUBLIC_ADDRESS, Network
from tests.network.patients import TEST_PICTURE, Patient, ice

TURN = f"turn:{PUBLIC_ADDRESS}:{PORT}?transport=udp"
AT = (PUBLIC_ADDRESS, PORT)
TOKEN = "a token of the signaling server"


def test_an_allocation_outlives_its_credential_and_a_new_one_needs_a_new_one(network: Network, tmp_path: Path) -> None:
    server = IceServer(urls=(TURN,), secret=SecretStr(SECRET), ttl=10)
    seconds_left = 2.0
    short = "max-allocate-lifetime=10\n"  # which makes the client refresh every 5 s

    async def scenario(turn: Coturn) -> None:
        (short_lived,) = servers_of([minted(server, time.time() - server.ttl + seconds_left)])
        allocation = Allocation(short_lived)
        await allocation.open(AT)
        try:
            await asyncio.to_thread(until, lambda: "refreshed" in turn.said, within=20, what="a refresh")
            assert allocation.alive
            with pytest.raises(StunError, match="401"):
                await Allocation(short_lived).open(AT)
            (fresh,) = servers_of([minted(server, time.time())])
            another = Allocation(fresh)
            await another.open(AT)
            await another.release()
        finally:
            await allocation.release()

    with coturn(network.public, tmp_path / "turn", f"{TIME_LIMITED}{short}") as turn, network.camera.inside():
        asyncio.run(scenario(turn))


def test_the_signaling_server_mints_for_cameras_and_pages_and_keeps_the_secret(
    network: Network, tmp_path: Path
) -> None:
    entry = ice(TURN, secret=SECRET).replace("[[ice.servers]]", "[[server.ice_servers]]")
    with (
        coturn(network.public, tmp_path / "turn", TIME_LIMITED),
        RemoteServer(network.public, {"server": {"token": TOKEN}}, tmp_path / "server", [entry]) as server,
    ):
        url = f"ws://{PUBLIC_ADDRESS}:{server.port}/ws"
        patient = Patient(
            network.camera, tmp_path / "doctor", {**TEST_PICTURE, "signaling": {"home": {"url": url, "token": TOKEN}}}
        )
        found = patient.visit()
        handed = server.get("/api/v1/viewer")
    assert (found.verdict, found.outcomes("call")) == ("ok", ["ok"]), found.printed
    (listed,) = handed.json["iceServers"]
    assert ":edgecam.page." in listed["username"], "each of its own, for coturn's log and quotas"
    assert SECRET not in handed.text + found.printed


def test_what_pages_are_handed_is_minted_and_not_the_secret(network: Network, tmp_path: Path) -> None:
    with RemoteDaemon(network.camera, TEST_PICTURE, tmp_path / "daemon", [ice(TURN, secret=SECRET)]) as daemon:
        handed = daemon.get("/api/v1/viewer")
        (server,) = handed.json["iceServers"]
        assert server["username"].endswith(":edgecam")
        assert server["credential"]
        assert SECRET not in handed.text


@contextmanager
def handing_out(network: Network, directory: Path, answer: dict[str, Any]) -> Iterator[str]:
    """A web server on PUBLIC_ADDRESS with that JSON; its URL."""
    directory.mkdir()
    (directory / "credentials").write_text(json.dumps(answer))
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", PUBLIC_ADDRESS, "--directory", str(directory)]
    with network.public.inside():
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://{PUBLIC_ADDRESS}:{port}/credentials"
    try:
        with network.public.inside():
            until(lambda: _answers(url), within=10, what="an answer of the service")
        yield url
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def test_a_service_that_hands_out_credentials_serves_daemon_pages_and_doctor(network: Network, tmp_path: Path) -> None:
    user, password = time_limited_credentials("from-the-service")
    answer = {"username": user, "password": password, "ttl": 600, "uris": [TURN]}
    with (
        coturn(network.public, tmp_path / "turn", TIME_LIMITED),
        handing_out(network, tmp_path / "service", answer) as url,
    ):
        found = Patient(network.camera, tmp_path / "doctor", TEST_PICTURE, ice([], credentials_url=url)).visit()
        assert (found.verdict, found.outcomes("credentials")) == ("ok", ["ok"]), found.printed
        assert found.outcomes("call") == ["ok"]
        assert found.finding("clock")["outcome"] == "ok"
        with RemoteDaemon(network.camera, TEST_PICTURE, tmp_path / "daemon", [ice([], credentials_url=url)]) as daemon:
            daemon.wait_ready()
            (server,) = daemon.get("/api/v1/viewer").json["iceServers"]
            assert (server["username"], server["credential"]) == (user, password)
            assert password not in "".join(daemon.lines)
