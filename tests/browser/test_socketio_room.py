"""The camera in a room where everybody calls everybody: a real Socket.IO server, Chromium as the other participants."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.browser.conftest import CACHE
from tests.browser.scenes import picture, v4l2
from tests.fakes.v4l2 import FakeV4l2, build_fake_v4l2
from tests.harness.browser import Browser, Visit
from tests.harness.daemons import Daemon
from tests.harness.waiting import until
from tests.signaling_servers.socketio import SocketioServer

CAMERA, ROOM = "Front door", "hall front"
TOLERATED = ["ERR_CONNECTION_REFUSED", "WebSocket connection", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET"]


@dataclass(frozen=True, slots=True)
class Scene:
    server: SocketioServer
    daemon: Daemon
    browser: Browser
    device: FakeV4l2

    @contextmanager
    def participant(self, name: str, room: str = ROOM, **options: object) -> Iterator[Visit]:
        """Somebody who has joined a room; `offers`: when the page offers."""
        query = urlencode({"room": room, "name": name, **options})
        with self.browser.visit(f"{self.server.url}/?{query}", tolerates=TOLERATED) as visit:
            visit.wait_for("window.room.joined")
            yield visit
            visit.page.evaluate("Object.keys(peers).forEach(closePeerConnection)")

    def in_room(self) -> list[dict[str, Any]]:
        return list(self.server.ask("rooms").get(ROOM, []))

    def wait_joined(self) -> dict[str, Any]:
        """The camera, among the participants."""
        return until(
            lambda: next((p for p in self.in_room() if p["userName"] == CAMERA), None), within=20, what="the camera in the room"
        )

    def count(self, event: str) -> int:
        """How often the camera has said this."""
        return len(self.server.heard(CAMERA, event))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Scene]:
    home = tmp_path_factory.mktemp("room")
    device = FakeV4l2(build_fake_v4l2(CACHE / "fakes"), home / "video0")
    device.plug()
    with SocketioServer("room") as server:
        section = {"type": "socketio-room", "url": server.url, "room": "hall {camera}"}
        cameras = {
            "front": picture(width=320, height=240, title=CAMERA),
            "side": v4l2(device.device, width=320, height=240, stall_timeout=1.5),
        }
        with Daemon({"camera": cameras, "signaling": {"meeting": section}}, home, env=device.env) as daemon:
            daemon.wait_ready()
            scene = Scene(server, daemon, browser, device)
            scene.wait_joined()
            yield scene
            daemon.assert_quiet()


@pytest.fixture(autouse=True)
def nobody_watches(scene: Scene) -> None:
    scene.daemon.wait_viewers(0)


@pytest.mark.parametrize("offers", ["newcomer", "newcomer,existing"])
def test_a_newcomer_that_offers_is_answered(scene: Scene, offers: str) -> None:
    offered = scene.count("offer")
    with scene.participant("Anna", offers=offers) as anna:
        anna.wait_frames()
        anna.assert_moving()
        (viewer,) = scene.daemon.wait_viewers(1)
        assert viewer["via"] == "signaling.meeting"
        assert scene.count("offer") == offered, "the camera has not offered itself"
        assert anna.page.evaluate("room.warnings") == []


def test_a_newcomer_that_only_waits_is_called_by_the_camera(scene: Scene) -> None:
    with scene.participant("Anna") as anna:
        anna.wait_frames()
        assert anna.page.evaluate("room.offersSent") == 0
        offer = scene.server.heard(CAMERA, "offer")[-1]
        assert offer["roomId"] == ROOM
        assert offer["sdp"]["type"] == "offer"


def test_candidates_before_the_offer_are_kept(scene: Scene) -> None:
    with scene.participant("Anna", offers="newcomer", late=1) as anna:
        anna.wait_frames()
        scene.daemon.wait_viewers(1)


def test_the_camera_joins_a_room_in_which_people_wait(scene: Scene) -> None:
    with scene.participant("Anna", offers="existing") as anna, scene.participant("Berta") as berta:
        for person in (anna, berta):
            person.wait_frames()
        answered, offered = scene.count("answer"), scene.count("offer")
        scene.server.ask("drop?who=Front+door")
        scene.wait_joined()
        # Sessions go on; then Anna's page calls the newcomer, and Berta's waits to be called.
        until(lambda: scene.count("answer") > answered, within=10, what="an answer to the member who offers")
        until(lambda: scene.count("offer") > offered, within=10, what="an offer to the member who does not")
        for person in (anna, berta):
            person.wait_frames()
            person.page.evaluate("Object.keys(peers).forEach(closePeerConnection)")


@pytest.mark.parametrize("habit", ["crossing", "stubborn"])
def test_when_both_offers_cross_a_picture_comes_of_it(scene: Scene, habit: str) -> None:
    with scene.participant("Anna", **{habit: 1}) as anna:  # type: ignore[arg-type]
        anna.wait_frames(within=20)
        scene.daemon.wait_viewers(1)
        assert anna.page.evaluate("room.offersSent") == 1
        assert anna.page.evaluate("room.answersSent") == (2 if habit == "crossing" else 0)


def test_an_offer_on_a_connection_that_works_is_answered(scene: Scene) -> None:
    with scene.participant("Anna", offers="newcomer") as anna:
        anna.wait_frames()
        answers = scene.count("answer")
        anna.page.evaluate("offerAgain()")
        until(lambda: scene.count("answer") > answers, within=10, what="another answer")
        anna.wait_frames(30)
        scene.daemon.wait_viewers(1)


def test_everything_told_three_times_is_one_session(scene: Scene) -> None:
    scene.server.tell("set", copies=3)
    try:
        answers = scene.count("answer")
        with scene.participant("Anna", offers="newcomer") as anna:
            anna.wait_frames()
            scene.daemon.wait_viewers(1)
            assert scene.count("answer") == answers + 1
        scene.daemon.wait_viewers(0)
        offers = scene.count("offer")
        with scene.participant("Anna") as anna:
            anna.wait_frames()
            scene.daemon.wait_viewers(1)
            assert scene.count("offer") == offers + 1
    finally:
        scene.server.tell("set", copies=1)


def test_two_watch_and_one_of_them_reloads(scene: Scene) -> None:
    with scene.participant("Anna", offers="newcomer") as anna, scene.participant("Berta", offers="newcomer") as berta:
        for person in (anna, berta):
            person.wait_frames()
        berta.page.reload()
        berta.wait_for("window.room.joined")
        berta.wait_frames()
        anna.wait_frames()
        scene.daemon.wait_viewers(2)
        scene.server.tell("set", objects=True)
        scene.server.tell("say", event="new-message", args=[{"id": 1, "sender": "Berta", "text": "hello"}])
        scene.server.tell("say", event="screen-share-started", args=[{"userName": "Berta"}])
        scene.server.tell("say", event="error", args=[{"message": "this room is being recorded"}])
        scene.server.tell("say", event="error", args=[{"message": "this room is being recorded"}])
        anna.wait_frames()
    assert len(scene.daemon.logged("server.error")) == 1


def test_pictures_go_on_while_the_server_is_restarted_and_newcomers_see_them_after(scene: Scene) -> None:
    with scene.participant("Anna", offers="newcomer", audience=1) as anna:
        anna.wait_frames()
        before = scene.wait_joined()["socketId"]
        scene.server.stop()
        anna.wait_frames(30)
        scene.server.start()
        assert scene.wait_joined()["socketId"] != before
        anna.wait_frames()
        with scene.participant("Berta", offers="newcomer") as berta:
            berta.wait_frames()


def test_the_room_is_told_when_the_camera_has_no_pictures_and_when_it_has_them_again(scene: Scene) -> None:
    with scene.participant("Anna", room="hall side", offers="newcomer") as anna:
        anna.wait_frames()
        states = scene.server.heard("side", "media-state-change")
        assert states[-1]["isVideoOff"] is False
        assert set(states[-1]) == {"socketId", "isMuted", "isVideoOff", "timestamp"}
        scene.device.unplug()
        anna.wait_for("Object.values(room.states).includes(true)")
        (side,) = (p for p in scene.server.ask("rooms")["hall side"] if p["userName"] == "side")
        assert side["isVideoOff"] is True
        scene.device.plug()
        anna.wait_for("Object.values(room.states).includes(false)")
        anna.wait_frames()
