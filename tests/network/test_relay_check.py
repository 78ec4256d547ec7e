"""The daemon's own calls through the relay, by schedule: its health follows the TURN server, and nothing else does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.harness.waiting import until
from tests.network.coturn import SECRET, TIME_LIMITED, coturn, time_limited_credentials
from tests.network.hosts import RemoteDaemon, RemoteServer, ice_server
from tests.network.namespaces import PUBLIC_ADDRESS, Network
from tests.network.patients import TEST_PICTURE, ice

EVERY = {"doctor": {"relay_every": "1s"}}
TOKEN = "a token of the signaling server"
TURN = f"turn:{PUBLIC_ADDRESS}:3478?transport=udp"


def wait_relay(daemon: RemoteDaemon, ok: bool | None) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        status = daemon.status()
        return status if status["relay_ok"] is ok else None

    return until(look, within=40, what=f"relay_ok {ok}", explain=lambda: daemon.status()["relay_check"])


def component(status: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [each for each in status["components"] if each["name"] == name]
    return dict(found)


def test_a_turn_server_that_dies_and_comes_back_is_known_before_a_viewer_needs_it(
    network: Network, tmp_path: Path
) -> None:
    with RemoteDaemon(network.camera, {**TEST_PICTURE, **EVERY}, tmp_path / "daemon", [ice(TURN, secret=SECRET)]) as daemon:
        with coturn(network.public, tmp_path / "turn", TIME_LIMITED):
            status = wait_relay(daemon, True)
            assert component(status, "relay")["condition"] == "running"
            (server,) = status["relay_check"]["servers"]
            assert (server["url"], server["ok"]) == (TURN, True)
            assert "edgecam_relay_ok 1" in daemon.get("/metrics").text
            assert daemon.get("/readyz").status == 200
        status = wait_relay(daemon, False)
        broken = component(status, "relay")
        assert (broken["condition"], broken["code"]) == ("waiting", "relay-no-media")
        assert daemon.get("/readyz").status == 503
        assert "edgecam_relay_ok 0" in daemon.get("/metrics").text
        assert status["cameras"][0]["condition"] == "running"
        with coturn(network.public, tmp_path / "again", TIME_LIMITED):
            assert component(wait_relay(daemon, True), "relay")["condition"] == "running"
        daemon.assert_quiet()
        assert SECRET not in "".join(daemon.lines)
        daemon.terminate(within=8)


def test_without_a_turn_server_there_is_nothing_to_call_through(network: Network, tmp_path: Path) -> None:
    with RemoteDaemon(network.camera, {**TEST_PICTURE, **EVERY}, tmp_path / "daemon") as daemon:
        daemon.wait_ready()
        found = until(
            lambda: (state := component(daemon.status(), "relay"))["detail"].startswith("no TURN") and state,
            within=15,
            what="the first round",
        )
        assert found["condition"] == "resting"
        assert daemon.status()["relay_ok"] is None
        assert "edgecam_relay_ok" not in daemon.get("/metrics").text


def test_servers_that_signaling_hands_out_are_called_through_and_made_ready(network: Network, tmp_path: Path) -> None:
    stun, login = f"stun:{PUBLIC_ADDRESS}:3478", time_limited_credentials("cameras")
    more = [ice_server(url, *login, table="server.ice_servers") for url in (stun, TURN)]
    with (
        coturn(network.public, tmp_path / "turn", TIME_LIMITED),
        RemoteServer(network.public, {"server": {"token": TOKEN}}, tmp_path / "server", more) as server,
    ):
        line = {"url": f"ws://{PUBLIC_ADDRESS}:{server.port}/ws", "token": TOKEN}
        config = {**TEST_PICTURE, **EVERY, "ice": {"standby_relay": True}, "signaling": {"home": line}}
        with RemoteDaemon(network.camera, config, tmp_path / "daemon") as daemon:
            status = wait_relay(daemon, True)
            assert [each["url"] for each in status["relay_check"]["servers"]] == [TURN]
            assert status["ice"]["standby"] == {"wanted": True, "ready": True, "url": TURN, "made": 1}
            assert status["ice"]["sockets"]["ready"] == 2
            server.terminate(within=8)
            status = wait_relay(daemon, None)
            assert component(status, "relay")["condition"] == "resting", "who is not handed out is nobody's business"
            assert status["relay_check"]["servers"] == []
