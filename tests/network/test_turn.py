"""Media through a real TURN server, where nothing else leads from the camera to the viewer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.browser.scenes import picture
from tests.harness.browser import Browser, Visit
from tests.harness.daemons import Daemon
from tests.harness.waiting import until
from tests.network.coturn import LONG_TERM, PASSWORD, TIME_LIMITED, USER, coturn, time_limited_credentials
from tests.network.hosts import RemoteDaemon, RemoteServer, ice_server
from tests.network.namespaces import CAMERA_ADDRESS, PUBLIC_ADDRESS, Network

CAMERA: dict[str, Any] = {"camera": {"front": picture()}}
WRONG = "mistyped-password"
RELAYED_ONLY = {"ice": {"policy": "relay"}}


def test_relay_only_with_the_daemons_own_turn_server(no_direct_path: Network, laptop: Browser, tmp_path: Path) -> None:
    with (
        coturn(no_direct_path.public, tmp_path / "turn", LONG_TERM) as turn,
        RemoteDaemon(
            no_direct_path.camera,
            {**CAMERA, **RELAYED_ONLY},
            tmp_path / "daemon",
            [ice_server(turn.url, USER, PASSWORD)],
        ) as daemon,
        laptop.visit(daemon.link(CAMERA_ADDRESS, "/view/front")) as visit,
    ):
        assert_relayed(daemon, visit, "whep")
        assert visit.page.evaluate("edgecam.pc.getConfiguration().iceTransportPolicy") == "relay"
        daemon.assert_quiet()


def test_relay_only_with_the_turn_server_that_signaling_hands_out(
    no_direct_path: Network, laptop: Browser, tmp_path: Path
) -> None:
    token = "a token of the signaling server"
    with (
        coturn(no_direct_path.public, tmp_path / "turn", TIME_LIMITED) as turn,
        RemoteServer(
            no_direct_path.public,
            {"server": {"token": token}},
            tmp_path / "server",
            [ice_server(turn.url, *time_limited_credentials("anybody"), table="server.ice_servers")],
        ) as server,
        RemoteDaemon(
            no_direct_path.camera,
            {
                **CAMERA,
                **RELAYED_ONLY,
                "signaling": {"home": {"url": f"ws://{PUBLIC_ADDRESS}:{server.port}/ws", "token": token}},
            },
            tmp_path / "daemon",
        ) as daemon,
    ):
        server.wait_camera("front")
        with laptop.visit(f"http://{PUBLIC_ADDRESS}:{server.port}/view/front?token={token}") as visit:
            assert_relayed(daemon, visit, "signaling.home")
        daemon.assert_quiet()


def test_without_a_direct_path_the_relay_is_found_by_itself(
    no_direct_path: Network, laptop: Browser, tmp_path: Path
) -> None:
    with (
        coturn(no_direct_path.public, tmp_path / "turn") as turn,
        RemoteDaemon(
            no_direct_path.camera, CAMERA, tmp_path / "daemon", [ice_server(turn.url, USER, PASSWORD)]
        ) as daemon,
        laptop.visit(daemon.link(CAMERA_ADDRESS, "/view/front")) as visit,
    ):
        assert_relayed(daemon, visit, "whep")


def test_with_a_direct_path_the_relay_is_left_alone(network: Network, laptop: Browser, tmp_path: Path) -> None:
    with (
        coturn(network.public, tmp_path / "turn") as turn,
        RemoteDaemon(network.camera, CAMERA, tmp_path / "daemon", [ice_server(turn.url, USER, PASSWORD)]) as daemon,
        laptop.visit(daemon.link(CAMERA_ADDRESS, "/view/front")) as visit,
    ):
        visit.wait_playing()
        # Until all candidates have been tried, another path may be in use.
        until(lambda: daemon.wait_viewers(1)[0]["path"] == "direct", within=10, what="a direct path")
        visit.wait_for("edgecam.stats.path === 'direct'")


def test_a_wrong_turn_password_harms_no_direct_viewer_and_is_logged(
    network: Network, laptop: Browser, tmp_path: Path
) -> None:
    with (
        coturn(network.public, tmp_path / "turn") as turn,
        RemoteDaemon(network.camera, CAMERA, tmp_path / "daemon", [ice_server(turn.url, USER, WRONG)]) as daemon,
        laptop.visit(daemon.link(CAMERA_ADDRESS, "/view/front")) as visit,
    ):
        visit.wait_playing()
        (viewer,) = daemon.wait_viewers(1)
        assert viewer["path"] == "direct"
        told = daemon.wait_logged("turn.unusable", level="warning")
        assert told["url"] == turn.url
        assert "password" in told["remedy"]
        assert WRONG not in "".join(daemon.lines), "a password was logged"


def test_a_wrong_turn_password_under_relay_only_is_said_at_once_in_page_and_log(
    network: Network, laptop: Browser, tmp_path: Path
) -> None:
    with (
        coturn(network.public, tmp_path / "turn") as turn,
        RemoteDaemon(
            network.camera, {**CAMERA, **RELAYED_ONLY}, tmp_path / "daemon", [ice_server(turn.url, USER, WRONG)]
        ) as daemon,
        laptop.visit(daemon.link(CAMERA_ADDRESS, "/view/front"), tolerates=["503"]) as visit,
    ):
        visit.wait_for("document.querySelector('#overlay-detail').textContent.includes('TURN')")
        refused = daemon.wait_logged("viewer.refused", code="turn-401")
        assert "username and credential" in refused["reason"]
        status = daemon.status()
        assert status["viewers"] == []
        assert status["relay"] == {"policy": "relay", "url": turn.url, "works": False}


def assert_relayed(daemon: Daemon, visit: Visit, via: str) -> None:
    """The viewer sees moving pictures, and everybody says that they come through the relay."""
    visit.wait_playing()
    visit.assert_moving()
    (viewer,) = daemon.wait_viewers(1)
    assert (viewer["path"], viewer["via"]) == ("relay", via)
    visit.wait_for("edgecam.stats.path === 'relay'")
    assert re.search("relay", visit.page.locator("#panel").inner_text(), re.IGNORECASE)
