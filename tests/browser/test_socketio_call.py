"""The camera among people who call each other by e-mail address: a real Socket.IO server, Chromium as the person."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.browser.scenes import picture
from tests.harness.browser import Browser, Visit
from tests.harness.daemons import Daemon
from tests.harness.processes import Edgecam
from tests.harness.waiting import until
from tests.signaling_servers.socketio import SocketioServer

CAMERA = "front@calls.example"
ANNA, BERTA, MALLORY = "anna@calls.example", "berta@calls.example", "mallory@elsewhere.example"
RING = 60  # seconds
CONNECT_TIMEOUT = 5  # seconds
TOLERATED = ["ERR_CONNECTION_REFUSED", "WebSocket connection", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET"]


@dataclass(frozen=True, slots=True)
class Scene:
    server: SocketioServer
    daemon: Daemon
    browser: Browser

    @contextmanager
    def person(self, email: str, *, hang_up: bool = True, **options: object) -> Iterator[Visit]:
        """Somebody who is logged in. With `hang_up` the connection is closed before the tab."""
        password = email.partition("@")[0] + "-secret"
        query = urlencode({"me": email, "password": password, **options})
        with self.browser.visit(f"{self.server.url}/?{query}", tolerates=TOLERATED) as visit:
            visit.wait_for("window.calls.joined")
            yield visit
            if hang_up:
                visit.page.evaluate("window.pc?.close()")

    def wait_reachable(self) -> None:
        until(lambda: CAMERA in self.server.ask("state")["online"], within=20, what="the camera among the people online")

    def call(self, to: str) -> dict[str, Any]:
        """Have the camera call somebody, through its HTTP API."""
        reply = self.daemon.request("POST", "/api/v1/calls", f'{{"to": "{to}"}}', {"Content-Type": "application/json"})
        assert reply.status == 202, reply
        call = reply.json
        assert isinstance(call, dict)
        return call

    def state_of(self, call: dict[str, Any]) -> dict[str, Any]:
        found = self.daemon.get(f"/api/v1/calls/{call['id']}").json
        assert isinstance(found, dict)
        return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Scene]:
    with SocketioServer("call") as server:
        section = {
            "type": "socketio-call",
            "url": server.url,
            "email": CAMERA,
            "password": "camera-secret",
            "callers": ["*@calls.example"],
            "ring": RING,
        }
        cameras = {"front": picture(width=320, height=240, title="Front door")}
        config = {"camera": cameras, "signaling": {"calls": section}, "viewers": {"connect_timeout": CONNECT_TIMEOUT}}
        with Daemon(config, tmp_path_factory.mktemp("call")) as daemon:
            daemon.wait_ready()
            scene = Scene(server, daemon, browser)
            scene.wait_reachable()
            yield scene
            daemon.assert_quiet()


@pytest.fixture(autouse=True)
def nobody_watches(scene: Scene) -> None:
    scene.daemon.wait_viewers(0)


def test_a_person_calls_and_sees_moving_pictures(scene: Scene) -> None:
    with scene.person(ANNA) as anna:
        anna.page.evaluate(f"dial('{CAMERA}')")
        anna.wait_frames()
        anna.assert_moving()
        (viewer,) = scene.daemon.wait_viewers(1)
        assert viewer["via"] == "signaling.calls"
        answer = scene.server.heard(CAMERA, "call.answer")[-1]
        assert answer["to"] == ANNA
        assert answer["conversation_id"] == "conv-1"
        assert answer["sdp"]["type"] == "answer"
        assert answer["sdp"]["sdp"].count("\nm=") == 2, "an answer to both audio and video"
        # Her page has sent the null at the end of her candidates; the server complains to her, and nothing comes of it.
        anna.wait_for("window.calls.errors.some((text) => text.includes('call.ice'))")
        anna.page.evaluate("hangUp()")
        scene.daemon.wait_viewers(0, within=5)


def test_a_person_may_go_straight_to_the_offer_and_its_candidates_may_come_first(scene: Scene) -> None:
    with scene.person(ANNA) as anna:
        anna.page.evaluate(f"dial('{CAMERA}', {{invite: false, late: true, belongs: 4711}})")
        anna.wait_frames()
        assert anna.page.evaluate("calls.answeredIn") == 4711
        lines = [line["event"] for line in scene.server.ask("lines") if line.get("to") == CAMERA]
        last_offer = len(lines) - 1 - lines[::-1].index("call.offer")
        assert lines[last_offer - 1] == "call.ice", "the candidates came before the offer"


def test_everything_said_three_times_is_one_call(scene: Scene) -> None:
    with scene.person(ANNA, sockets=3, echo=1) as anna:
        before = len(scene.server.heard(CAMERA, "call.answer"))
        anna.page.evaluate(f"dial('{CAMERA}')")
        anna.wait_frames()
        scene.daemon.wait_viewers(1)
        assert len(scene.server.heard(CAMERA, "call.answer")) == before + 1
        assert len(scene.server.said_to(CAMERA, "call.offer")) >= 3
        anna.page.evaluate("hangUp()")
        scene.daemon.wait_viewers(0, within=5)


def test_two_people_watch_at_once_and_one_leaving_touches_nobody_else(scene: Scene) -> None:
    with scene.person(ANNA) as anna, scene.person(BERTA) as berta:
        for person in (anna, berta):
            person.page.evaluate(f"dial('{CAMERA}', {{belongs: null}})")
        for person in (anna, berta):
            person.wait_frames()
        scene.daemon.wait_viewers(2)
        berta.page.evaluate("hangUp()")
        scene.daemon.wait_viewers(1)
        anna.wait_frames()


def test_after_a_reload_the_newest_call_counts(scene: Scene) -> None:
    with scene.person(ANNA) as anna:
        for _ in range(2):
            anna.page.evaluate(f"dial('{CAMERA}')")
            anna.wait_frames()
            anna.page.reload()
            anna.wait_for("window.calls.joined")
        anna.page.evaluate(f"dial('{CAMERA}')")
        anna.wait_frames()
        scene.daemon.wait_viewers(1)


def test_closing_the_tab_ends_the_call_though_nothing_but_user_offline_is_said(scene: Scene) -> None:
    with scene.person(ANNA, hang_up=False) as anna:
        anna.page.evaluate(f"dial('{CAMERA}')")
        anna.wait_frames()
        ends = len(scene.server.heard(ANNA, "call.end"))
    scene.daemon.wait_viewers(0, within=15)
    assert len(scene.server.heard(ANNA, "call.end")) == ends
    assert scene.server.said_to(CAMERA, "user_offline")[-1]["email"] == ANNA


def test_a_stranger_is_refused_and_told_so(scene: Scene) -> None:
    with scene.person(MALLORY) as mallory:
        mallory.page.evaluate(f"dial('{CAMERA}')")
        mallory.wait_for("calls.ended.length > 0")
        (ended, *_) = mallory.page.evaluate("calls.ended")
        assert ended["reason"] == "this camera does not take calls from you"
        assert ended["id"] == "conv-1"
        assert not scene.daemon.status()["viewers"]
        assert scene.daemon.logged("call.refused", caller=MALLORY)


def test_the_camera_calls_a_person_who_accepts_after_a_while_and_one_who_is_not_there(scene: Scene) -> None:
    nobody = scene.call("nobody@calls.example")
    with scene.person(BERTA, sockets=2) as berta:
        call = scene.call(BERTA)
        berta.wait_for("calls.state === 'ringing'")
        assert berta.page.evaluate("calls.invitations") >= 1
        offer = scene.server.heard(CAMERA, "call.offer")[-1]
        assert "a=candidate:" in offer["sdp"]["sdp"]
        assert "a=end-of-candidates" in offer["sdp"]["sdp"]
        assert offer["conversation_id"] == scene.server.heard(CAMERA, "call.invite")[-1]["conversation_id"]
        assert scene.state_of(call)["state"] == "ringing"
        busy = scene.daemon.request("POST", "/api/v1/calls", f'{{"to": "{BERTA}"}}')
        assert (busy.status, busy.json["code"]) == (409, "call-busy")
        # Longer than a viewer may take to connect: this one is a person.
        until(lambda: scene.state_of(call)["seconds"] > CONNECT_TIMEOUT + 1, within=30, what="a person who lets it ring")
        assert scene.state_of(call)["state"] == "ringing"
        berta.page.evaluate("accept()")
        berta.wait_frames()
        berta.assert_moving()
        assert scene.state_of(call)["state"] == "answered"
        assert scene.daemon.request("DELETE", f"/api/v1/calls/{call['id']}").json["state"] == "ended"
        berta.wait_for("calls.ended.length > 0")
        assert berta.page.evaluate("calls.ended[0].reason") == "the camera hung up"
    assert scene.state_of(nobody)["state"] == "ringing", "nobody has said that there is nobody"
    assert scene.daemon.request("DELETE", f"/api/v1/calls/{nobody['id']}").status == 200


def test_a_call_from_the_command_line_that_is_declined_is_over(scene: Scene, tmp_path: Path) -> None:
    with scene.person(BERTA) as berta:
        with Edgecam(["call", BERTA, "--config", scene.daemon.file], tmp_path) as command:
            berta.wait_for("calls.state === 'ringing'")
            berta.page.evaluate(f"conversation = calls.incoming.id; peer = '{CAMERA}'; hangUp()")
            assert command.wait(15) == 1, command.lines
            assert command.printed == [f"{BERTA}: ringing", f"{BERTA}: ended (user hung up)"]


def test_both_call_each_other_and_one_call_comes_of_it(scene: Scene) -> None:
    with scene.person(BERTA) as berta:
        call = scene.call(BERTA)
        berta.wait_for("calls.state === 'ringing'")
        berta.page.evaluate(f"dial('{CAMERA}')")
        berta.wait_frames()
        scene.daemon.wait_viewers(1)
        assert scene.state_of(call)["state"] == "ended"


def test_an_expired_token_is_renewed_while_somebody_watches(scene: Scene) -> None:
    with scene.person(ANNA) as anna:
        anna.page.evaluate(f"dial('{CAMERA}')")
        anna.wait_frames()
        logins = scene.server.ask("state")["logins"]
        scene.server.tell("expire")
        until(lambda: scene.server.ask("state")["logins"] > logins, within=20, what="a new login")
        scene.wait_reachable()
        anna.wait_frames(30)
        scene.daemon.wait_viewers(1)


def test_pictures_go_on_while_the_server_is_restarted_and_the_camera_can_be_called_again(scene: Scene) -> None:
    with scene.person(ANNA) as anna:
        anna.page.evaluate(f"dial('{CAMERA}')")
        anna.wait_frames()
        scene.server.stop()
        anna.wait_frames(30)
        scene.server.start()
        scene.wait_reachable()
        anna.wait_frames(30)
        scene.daemon.wait_viewers(1)
        with scene.person(BERTA) as berta:
            berta.page.evaluate(f"dial('{CAMERA}')")
            berta.wait_frames()
        until(lambda: ANNA in scene.server.ask("state")["online"], within=10, what="the first person back")
        anna.page.evaluate("hangUp()")
        scene.daemon.wait_viewers(0, within=15)


def test_a_wrong_password_is_one_clear_line_and_is_not_tried_again_soon(scene: Scene, tmp_path: Path) -> None:
    refused = scene.server.ask("state")["refused"]
    section = {"type": "socketio-call", "url": scene.server.url, "email": CAMERA, "password": "wrong", "callers": []}
    with Daemon({"camera": {"front": picture(width=320, height=240)}, "signaling": {"calls": section}}, tmp_path) as daemon:
        state = daemon.wait_logged("component.state", component="signaling.calls", code="signaling-auth")
        assert f"does not accept the password of {CAMERA}; correct email and password in [signaling.calls]" in state["detail"]
        assert "wrong" not in state["detail"].replace("wrong password", "")
        daemon.wait_units("front", 45)  # more than a second, in which a retry as after other errors would have come
        assert scene.server.ask("state")["refused"] == refused + 1
