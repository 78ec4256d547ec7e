"""The camera as a producer in a mediasoup server (Node): mediasoup's own checks of parameters, werift's ICE-lite, DTLS and SRTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.harness.daemons import Daemon
from tests.harness.processes import run_edgecam
from tests.harness.waiting import until
from tests.signaling_servers.media.servers import MediaServer

PICTURE = {"source": "test", "width": 320, "height": 240, "fps": 30, "bitrate_kbps": 400, "keyframe_interval": 300.0}

Produce = Callable[..., Daemon]


@pytest.fixture(scope="module")
def running() -> Iterator[MediaServer]:
    with MediaServer("mediasoup.mjs") as server:
        yield server


@pytest.fixture
def server(running: MediaServer) -> MediaServer:
    running.reset()
    return running


@pytest.fixture
def produce(tmp_path: Path, server: MediaServer) -> Iterator[Produce]:
    """Starts a daemon that sends `front` to the server. Keywords go into the section."""
    with ExitStack() as stack:

        def start(directory: str = "daemon", **section: Any) -> Daemon:
            sfu = {"type": "mediasoup", "url": server.url, "room": "yard", **section}
            return stack.enter_context(Daemon({"camera": {"front": PICTURE}, "signaling": {"sfu": sfu}}, tmp_path / directory))

        yield start


def line(daemon: Daemon) -> dict[str, Any]:
    (found,) = daemon.status()["signaling"]
    assert isinstance(found, dict)
    return found


def wait_line(daemon: Daemon, condition: str, code: str, within: float = 12.0) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = line(daemon)
        return found if (found["condition"], found["code"]) == (condition, code) else None

    return until(look, within=within, what=f"{condition} {code}", explain=lambda: line(daemon))


def test_a_camera_is_produced_and_decoded_and_gives_keyframes(produce: Produce, server: MediaServer) -> None:
    daemon = produce()
    daemon.wait_ready()
    session = server.wait_session(25)
    assert len(server.decoded()) >= 15
    assert session["unknown"] == 0, "packets came that no producer expects"
    (joined,) = server.requests("joinRoom")
    assert joined["arguments"] == [{"roomId": "yard", "participantName": "front", "userEmail": "front@edgecam.invalid"}, "ack"]
    assert session["remote"]["role"] == "client"
    assert [codec["mimeType"] for codec in session["producer"]["codecs"]] == ["video/H264", "video/rtx"]
    (publication,) = daemon.status()["publications"]
    assert (publication["via"], publication["media_path"]) == ("signaling.sfu", "fast")
    assert daemon.status()["viewers"] == []
    assert line(daemon)["detail"] == f"front is in room yard at {server.url}/"
    server.do("pli")
    until(lambda: server.wait_session()["keyframes"] > session["keyframes"], within=2, what="a keyframe")
    daemon.assert_quiet()


@pytest.mark.parametrize(
    "script",
    [
        {"join": "ack", "extra": True},
        {"wrapped": True, "profiles": ["4d0032"], "acknowledges": False, "role": "client", "address": "127.0.0.1"},
    ],
    ids=lambda script: ", ".join(f"{key} {value}" for key, value in script.items()),
)
def test_servers_differ(produce: Produce, server: MediaServer, script: dict[str, Any]) -> None:
    server.script(**script)
    daemon = produce()
    session = server.wait_session(10)
    wait_line(daemon, "running", "")
    if "profiles" in script:  # mediasoup's own code has taken it for what the router has
        assert session["producer"]["codecs"][0]["parameters"]["profile-level-id"].startswith("4d00")
    daemon.assert_quiet()


def test_what_a_server_answers_to_is_known_when_it_comes_back(produce: Produce, server: MediaServer) -> None:
    server.script(form="ack", capabilities="data", connect="connectTransport")
    daemon = produce()
    server.wait_session()
    before = len(server.seen()["requests"])
    server.do("close")
    until(lambda: len(server.requests("produce")) == 2, within=5, what="another producer")
    wait_line(daemon, "running", "")
    since = server.seen()["requests"][before:]
    assert [request["method"] for request in since] == [
        "joinRoom",
        "getRtpCapabilities",
        "createWebRtcTransport",
        "connectTransport",
        "produce",
    ]
    assert since[-1]["at"] - since[0]["at"] < 1500, "it guessed again"


def test_a_server_that_the_wrong_form_brings_down_gets_the_other_one(produce: Produce, server: MediaServer) -> None:
    server.script(form="ack", crashes=True)
    daemon = produce()
    until(lambda: server.ended, within=10, what="the server's crash")
    server.restart()
    server.wait_session(10)
    wait_line(daemon, "running", "")


def test_media_outlives_the_connection_where_the_server_keeps_the_transport(produce: Produce, server: MediaServer) -> None:
    server.script(keeps=True)
    produce()
    before = server.wait_session(10)
    server.do("disconnect")
    until(lambda: len(server.requests("joinRoom")) == 2, within=5, what="the room joined again")
    after = server.wait_session(before["units"] + 10)
    assert after["id"] == before["id"]
    assert len(server.requests("produce")) == 1


def test_what_the_server_forgot_with_the_connection_is_produced_anew(produce: Produce, server: MediaServer) -> None:
    daemon = produce()
    before = server.wait_session(10)
    server.do("disconnect")
    until(lambda: len(server.requests("produce")) == 2, within=8, what="another producer")
    assert server.wait_session(10)["id"] != before["id"]
    wait_line(daemon, "running", "")
    assert daemon.camera()["restarts"] == 0


def test_a_server_that_was_restarted_is_joined_again(produce: Produce, server: MediaServer) -> None:
    daemon = produce()
    server.wait_session(5)
    server.kill()
    wait_line(daemon, "waiting", "signaling-unreachable")
    server.start()
    started = time.monotonic()
    server.wait_session(20)
    assert time.monotonic() - started < 12
    wait_line(daemon, "running", "")
    daemon.assert_quiet()


def test_the_same_name_throws_the_older_one_out_which_says_what_to_do(produce: Produce, server: MediaServer) -> None:
    first = produce()
    server.wait_session(5)
    produce("second")
    hint = "another participant is called 'front': set [signaling.sfu] participant"
    until(lambda: hint in line(first)["detail"], within=10, what="what to do", explain=lambda: line(first))


def test_stopping_the_daemon_leaves_the_room(produce: Produce, server: MediaServer) -> None:
    daemon = produce(room="{camera}-room", participant="{camera} at the door")
    server.wait_session(5)
    assert server.seen()["participants"] == ["front at the door"]
    assert server.requests("joinRoom")[0]["arguments"][0]["roomId"] == "front-room"
    assert daemon.terminate(within=5) < 3
    until(lambda: server.seen()["participants"] == [], within=2, what="the participant's end")


def test_two_cameras_are_two_participants(tmp_path: Path, server: MediaServer) -> None:
    sfu = {"type": "mediasoup", "url": server.url, "room": "yard"}
    with Daemon({"camera": {"front": PICTURE, "back": PICTURE}, "signaling": {"sfu": sfu}}, tmp_path) as daemon:
        until(lambda: [s["units"] > 10 for s in server.seen()["sessions"]] == [True, True], within=15, what="both cameras")
        assert sorted(s["owner"] for s in server.seen()["sessions"]) == ["back", "front"]
        assert len(daemon.status()["publications"]) == 2
    one_name = Daemon({"camera": {"front": PICTURE, "back": PICTURE}, "signaling": {"sfu": {**sfu, "participant": "cam"}}}, tmp_path)
    said = run_edgecam("run", "--config", one_name.file, state_dir=tmp_path)
    assert said.returncode == 78
    assert "write {camera} in its participant" in said.stdout + said.stderr
