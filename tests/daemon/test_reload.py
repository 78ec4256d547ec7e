"""SIGHUP: what is changed while somebody watches, and what that viewer notices of it: nothing."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.reloading import WITHIN, Follower, Reloadable
from tests.harness.daemons import Server
from tests.harness.waiting import until

SMALL = {"source": "test", "width": 320, "height": 180, "fps": 15, "bitrate_kbps": 400}
SECRET = "a-token-that-nobody-may-ever-read"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reloadable]:
    config = {"camera": {"front": SMALL, "side": SMALL}, "reload": {"trial": 3600}}
    with Reloadable(config, tmp_path_factory.mktemp("reload")) as running:
        running.wait_ready()
        yield running
        running.assert_quiet()
        assert not [line for line in running.lines if SECRET in line]


@pytest.fixture(scope="module")
def watching(daemon: Reloadable) -> Iterator[Follower]:
    """Somebody watches `front` all the time; no other camera's business concerns them."""
    with Follower(daemon.url, "front") as follower:
        yield follower
        follower.wait_frames(5, within=10)
        follower.assert_unbroken()
        assert daemon.camera("front")["restarts"] == 0


def test_a_camera_comes_and_goes(daemon: Reloadable, watching: Follower) -> None:
    assert daemon.reload({"camera": {"yard": {**SMALL, "title": "Yard"}}}) == ["camera.yard: added"]
    daemon.wait_camera("yard", condition="running")
    with Follower(daemon.url, "yard") as other:
        assert daemon.reload({"camera": {"yard": None}}) == ["camera.yard: removed"]
        until(lambda: other.state == "closed", within=WITHIN, what="BYE to the viewer of the camera that is gone")
    status = daemon.status()
    assert [camera["name"] for camera in status["cameras"]] == ["front", "side"]
    assert not [line for line in status["components"] if "yard" in line["name"]]
    assert daemon.request("POST", "/whep/yard", "v=0", {"Content-Type": "application/sdp"}).status == 404
    assert len(daemon.capture_processes) == 2
    watching.wait_frames(5, within=10)


def test_a_camera_that_is_disabled_is_as_one_that_is_gone(daemon: Reloadable, watching: Follower) -> None:
    assert daemon.reload({"camera": {"side": {"enabled": False}}}) == ["camera.side.enabled true → false: in place"]
    assert [camera["name"] for camera in daemon.status()["cameras"]] == ["front"]
    daemon.reload({"camera": {"side": {"enabled": True}}})
    daemon.wait_camera("side", condition="running")
    watching.wait_frames(5, within=10)


def test_bitrate_title_and_cap_hold_at_once(daemon: Reloadable, watching: Follower) -> None:
    changes = daemon.reload({"camera": {"front": {"bitrate_kbps": 300, "title": "Front door", "max_viewers": 1}}})
    assert changes == [
        'camera.front.title "" → "Front door": in place',
        "camera.front.bitrate_kbps 400 → 300: in place",
        "camera.front.max_viewers 16 → 1: in place",
    ]
    camera = daemon.camera("front")
    assert (camera["title"], camera["ceiling_bps"], camera["max_viewers"], camera["viewers"]) == ("Front door", 300_000, 1, 1)
    assert camera["target_bps"] <= 300_000
    refused = daemon.request("POST", "/whep/front", "v=0", {"Content-Type": "application/sdp"})
    assert refused.status == 503
    assert refused.json["code"] == "viewers-full"
    assert watching.state == "connected"  # nobody is sent away
    daemon.reload({"camera": {"front": {"max_viewers": 16}}, "viewers": {"max": 1}})
    assert daemon.request("POST", "/whep/side", "v=0", {"Content-Type": "application/sdp"}).json["code"] == "viewers-full"
    daemon.reload({"viewers": {"max": 50}})
    watching.wait_frames(5, within=10)


def test_bitrates_are_changed_in_the_capture_process_that_runs(daemon: Reloadable, watching: Follower) -> None:
    processes, starts = daemon.capture_processes, daemon.camera("front")["restarts"]
    keyframes = daemon.camera("front")["keyframes"]
    for before, after in ((300, 400), (400, 60), (60, 300)):
        assert daemon.reload({"camera": {"front": {"bitrate_kbps": after}}}) == [f"camera.front.bitrate_kbps {before} → {after}: in place"]
        camera = daemon.wait_camera("front", condition="running", ceiling_bps=after * 1000)
        assert camera["target_bps"] <= after * 1000  # it climbs as far as the viewer's link is known to carry
        watching.wait_frames(15, within=10)
    assert daemon.reload({"camera": {"front": {"min_bitrate_kbps": 250}}}) == ["camera.front.min_bitrate_kbps (unset) → 250: in place"]
    assert daemon.camera("front")["floor_bps"] == 250_000
    assert daemon.camera("front")["keyframes"] >= keyframes + 3, "each ceiling begins with one"
    assert daemon.capture_processes == processes
    assert daemon.camera("front")["restarts"] == starts


def test_another_size_takes_another_capture_process_and_keeps_the_viewers(daemon: Reloadable) -> None:
    with Follower(daemon.url, "side") as follower:
        starts = daemon.camera("side")["restarts"]
        daemon.reload({"camera": {"side": {"width": 640, "height": 360}}})
        until(lambda: follower.picture_width == 640, within=WITHIN, what="the new size at the viewer")
        follower.wait_frames(15, within=10)
        follower.assert_unbroken()
        assert daemon.camera("side")["viewers"] == 1
        daemon.reload({"camera": {"side": {"renditions": 1, "keyframe_interval": 5}}})
        daemon.wait_camera("side", condition="running", restarts=starts + 2)
        follower.wait_frames(15, within=10)
        follower.assert_unbroken()


def test_tokens_and_hosts_hold_from_the_next_request_on(daemon: Reloadable, watching: Follower) -> None:
    assert daemon.reload({"web": {"token": SECRET, "allowed_hosts": ["cam.example"]}}, token=SECRET) == [
        'web.token "" → "********": in place',
        'web.allowed_hosts [] → ["cam.example"]: in place',
    ]
    assert daemon.get("/readyz", Host="cam.example").status in {200, 503}
    assert daemon.request("GET", "/readyz", headers={"Authorization": "Bearer wrong"}).status == 401
    assert daemon.reload({"web": {"token": SECRET + "-2"}}, token=SECRET + "-2") == ["web.token another secret: in place"]
    assert daemon.request("GET", "/readyz", headers={"Authorization": f"Bearer {SECRET}"}).status == 401
    # Whoever can reach it from elsewhere, by a proxy, needs a token all the same: one is made.
    daemon.rewrite({"web": {"token": None, "allowed_hosts": ["cam.example"]}})
    daemon.token = ""
    daemon.hang_up()
    until(lambda: daemon.get("/readyz").status == 401, within=WITHIN, what="a generated token is asked for")
    daemon.token = (daemon.state_dir / "web-token").read_text().strip()
    daemon.reload({"web": {"allowed_hosts": None}}, token="")
    watching.wait_frames(5, within=10)


def test_the_log_level_changes(daemon: Reloadable, watching: Follower) -> None:
    daemon.reload({"log": {"level": "debug"}})
    daemon.get("/readyz", Host="evil.example")
    daemon.wait_logged("request.refused")
    daemon.reload({"log": {"level": "info"}})
    told = len(daemon.logged("request.refused"))
    daemon.get("/readyz", Host="evil.example")
    assert len(daemon.logged("request.refused")) == told
    watching.wait_frames(5, within=10)


def test_newcomers_get_the_new_ice_servers_and_settings(daemon: Reloadable, watching: Follower) -> None:
    assert daemon.get("/api/v1/viewer").json["iceServers"] == []
    daemon.more = f'\n[[ice.servers]]\nurls = ["turn:127.0.0.1:9"]\nusername = "camera"\ncredential = "{SECRET}"\n'
    daemon.file.write_text(daemon.file.read_text() + daemon.more)
    changes = daemon.reload({"ice": {"policy": "relay"}})
    assert changes == [
        'ice.policy "all" → "relay": in place, for whoever connects from now on',
        'ice.servers [] → [["turn:127.0.0.1:9"]]: in place, for whoever connects from now on',
    ]
    page = daemon.get("/api/v1/viewer").json
    assert (page["relayOnly"], page["iceServers"][0]["urls"]) == (True, ["turn:127.0.0.1:9"])
    daemon.file.write_text(daemon.file.read_text().removesuffix(daemon.more))
    daemon.more = ""
    daemon.reload({"ice": {"policy": "all", "udp_ports": "42000-42099"}})
    with Follower(daemon.url, "side") as newcomer:
        newcomer.wait_frames(1, within=10)
    daemon.reload({"ice": None})
    assert daemon.get("/api/v1/viewer").json["iceServers"] == []
    watching.wait_frames(5, within=10)


def test_signaling_comes_changes_and_goes_and_only_what_has_changed_is_made_anew(
    daemon: Reloadable, watching: Follower, tmp_path: Path
) -> None:
    def online(server: Server) -> set[str]:
        return {camera["id"] for camera in server.get("/api/v1/cameras").json if camera["online"]}

    with Server({}, tmp_path / "a") as one, Server({}, tmp_path / "b") as two:
        first, second = {"url": one.socket_url}, {"url": two.socket_url}
        daemon.reload({"signaling": {"one": first, "two": second}})
        for server in (one, two):
            for camera in ("front", "side"):
                server.wait_camera(camera)
        lines = {line["name"]: line["since_s"] for line in daemon.status()["components"]}
        assert {"signaling.one.front", "signaling.two.side"} <= lines.keys()
        before = len(daemon.logged("component.state", component="signaling.one.front"))
        other = len(daemon.logged("component.state", component="signaling.two.front"))
        # A camera more: those that are registered stay so.
        daemon.reload({"camera": {"yard": SMALL}})
        one.wait_camera("yard")
        # A changed section is connected anew, the other one is not.
        daemon.reload({"signaling": {"two": {"heartbeat": 5}}})
        two.wait_camera("front")
        daemon.reload({"camera": {"yard": None}})
        until(lambda: online(one) == {"front", "side"}, within=WITHIN, what="the camera gone from the server")
        assert len(daemon.logged("component.state", component="signaling.one.front")) == before
        assert len(daemon.logged("component.state", component="signaling.two.front")) > other
        # A title is told to the server by registering anew.
        daemon.reload({"camera": {"side": {"title": "Side"}}})
        until(
            lambda: {c["id"]: c["title"] for c in one.get("/api/v1/cameras").json}.get("side") == "Side",
            within=WITHIN,
            what="the title at the server",
        )
        assert len(daemon.logged("component.state", component="signaling.one.front")) == before
        daemon.reload({"signaling": None})
        until(lambda: not online(one), within=WITHIN, what="no camera registered")
        assert not [line for line in daemon.status()["components"] if line["name"].startswith("signaling")]
    watching.wait_frames(5, within=10)


def test_a_file_that_does_not_hold_changes_nothing_and_is_told_everywhere(daemon: Reloadable, watching: Follower) -> None:
    right = daemon.file.read_text()
    before = daemon.status()
    said = daemon.refuse(right.replace('source = "test"', f'sauce = "test"\ntoken = "{SECRET}"', 1))
    status = daemon.status()
    assert "unknown key; did you mean 'source'?" in said["problem"]
    assert said["sha256"] == before["configuration"]["sha256"]
    assert status["ready"], status["reasons"]
    assert "config-invalid" in status["summary"]
    (logged,) = daemon.logged("config.refused")
    assert logged["reason"] == said["problem"]
    assert status["cameras"][0]["restarts"] == before["cameras"][0]["restarts"]
    assert "names no camera" in daemon.refuse("[web]\n")["problem"]
    assert "not valid TOML" in daemon.refuse("[web\n")["problem"]
    daemon.file.unlink()
    daemon.hang_up()
    until(lambda: "cannot be read" in daemon.configuration["problem"], within=WITHIN, what="the missing file noticed")
    daemon.file.write_text(right)
    assert daemon.reload({}) == []
    assert daemon.configuration["problem"] == ""
    assert "configuration" not in {line["name"] for line in daemon.status()["components"]}
    watching.wait_frames(5, within=10)


def test_what_needs_a_restart_is_said_and_forgotten_when_it_is_taken_back(daemon: Reloadable, watching: Follower) -> None:
    listen = f"127.0.0.1:{daemon.port}"
    changes = daemon.reload({"web": {"listen": "127.0.0.1:1"}, "viewers": {"max": 49}})
    assert changes == [
        f'web.listen "{listen}" → "127.0.0.1:1": needs a restart',
        "viewers.max 50 → 49: in place, for whoever connects from now on",
    ]
    assert daemon.configuration["needs_restart"] == ["web.listen"]
    assert "needs restart: web.listen [config-restart]" in daemon.status()["summary"]
    assert daemon.status()["ready"]
    daemon.reload({"web": {"listen": listen}})
    assert daemon.configuration["needs_restart"] == []
    watching.wait_frames(5, within=10)


def test_a_storm_of_signals_ends_with_what_the_file_says_last(daemon: Reloadable, watching: Follower) -> None:
    for number in range(60):
        daemon.rewrite({"camera": {"front": {"title": f"Title {number}"}, "yard": SMALL if number % 2 else None}})
        daemon.signal(signal.SIGHUP)
        daemon.signal(signal.SIGHUP)
    until(lambda: daemon.camera("front")["title"] == "Title 59", within=2 * WITHIN, what="the last title")
    daemon.wait_camera("yard", condition="running")
    daemon.reload({"camera": {"yard": None}})
    assert len(daemon.capture_processes) == 2
    watching.wait_frames(5, within=10)
