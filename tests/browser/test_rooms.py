"""Watching in rooms of a FastAPI server that is not ours, on a page that is not ours."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.browser.scenes import picture
from tests.harness.browser import Browser, Visit
from tests.harness.daemons import Daemon
from tests.harness.foreign import ForeignServer, python_module
from tests.harness.waiting import until
from tests.harness.web import request
from tests.signaling_servers.rooms.server import ACCOUNTS, TOKEN_LIFE

HOUSES = ("plain", "noticed", "locked", "twice")
OUTAGE = (r"WebSocket connection to .* failed", r"Failed to load resource")


@dataclass(frozen=True, slots=True)
class Scene:
    server: ForeignServer
    daemon: Daemon

    def url(self, house: str) -> str:
        return f"{self.server.url}/{house}"

    def room(self, house: str, within: float = 15.0) -> str:
        """The room in which the camera is now."""
        return room_of(self.daemon, house, within)

    def page(self, house: str, **query: str) -> str:
        return f"{self.url(house)}/?{urlencode({'room': self.room(house), **query})}"

    def post(self, path: str, body: object = None) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        reply = request(self.server.port, "POST", path, json.dumps(body) if body else None, headers)
        assert reply.status == 200, reply
        answer = reply.json
        assert isinstance(answer, dict)
        return answer


def room_of(daemon: Daemon, section: str, within: float = 15.0) -> str:
    def look() -> str:
        (line,) = [c for c in daemon.status()["components"] if c["name"] == f"signaling.{section}"]
        found = re.search(r"in room (\w+) of", line["detail"])
        return found[1] if found and line["condition"] == "running" else ""

    return until(look, within=within, what=f"the camera in a room of {section}", explain=lambda: daemon.lines[-5:])


def cameras() -> dict[str, object]:
    return {"front": picture(width=320, height=240)}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with ForeignServer(python_module("tests.signaling_servers.rooms.server", "PORT")) as server:
        sections: dict[str, dict[str, str]] = {
            house: {"type": "rooms", "url": f"{server.url}/{house}"} for house in HOUSES
        }
        sections["locked"] |= {"login_path": "/login", "login": "camera", "password": ACCOUNTS["camera"]}
        config = {"camera": cameras(), "signaling": sections}
        with Daemon(config, tmp_path_factory.mktemp("rooms")) as daemon:
            daemon.wait_ready()
            yield Scene(server, daemon)
            daemon.assert_quiet()


def watch(visit: Visit) -> None:
    """Until the page shows moving pictures."""
    visit.wait_frames(10)
    visit.assert_moving(5)


def test_the_camera_calls_into_the_room_until_a_viewer_answers(scene: Scene, browser: Browser) -> None:
    with browser.visit(scene.page("plain")) as visit:
        watch(visit)
        (viewer,) = scene.daemon.wait_viewers(1)
        assert viewer["via"] == "signaling.plain"
        visit.page.reload()
        watch(visit)


@pytest.mark.parametrize(
    "query",
    [{"mode": "offer"}, {"mode": "offer", "form": "object", "early": "1", "local": "1"}, {"mode": "cross"}],
    ids=["string", "object-early-both-ways", "offers-cross"],
)
def test_a_viewer_that_offers_is_answered(scene: Scene, browser: Browser, query: dict[str, str]) -> None:
    if query["mode"] == "cross":
        scene.daemon.wait_viewers(0)  # else the camera calls nobody
    with browser.visit(scene.page("plain", **query)) as visit:
        watch(visit)
        visit.page.evaluate("window.pc.close()")


def test_where_nothing_tells_viewers_apart_the_newest_wins(scene: Scene, browser: Browser) -> None:
    with browser.visit(scene.page("plain", mode="offer")) as first:
        watch(first)
        with browser.visit(scene.page("plain", mode="offer")) as second:
            watch(second)
            scene.daemon.wait_viewers(1)
            second.wait_frames(5)


def test_messages_that_come_twice_do_no_harm(scene: Scene, browser: Browser) -> None:
    for mode in ("wait", "offer"):
        with browser.visit(scene.page("twice", mode=mode)) as visit:
            watch(visit)
            visit.page.evaluate("window.pc.close()")


def test_two_viewers_that_the_server_names_watch_at_once_and_one_comes_back(scene: Scene, browser: Browser) -> None:
    with browser.visit(scene.page("noticed", user="anna")) as anna:
        watch(anna)
        with browser.visit(scene.page("noticed", user="bert", mode="offer")) as bert:
            watch(bert)
            anna.wait_frames(5)
            anna.page.reload()
            watch(anna)
            bert.wait_frames(5)
        anna.wait_frames(5)


def test_a_token_that_expires_is_renewed_and_the_picture_stays(scene: Scene, browser: Browser) -> None:
    def bearer() -> str:
        return scene.post("/locked/login", {"username": "anna", "password": ACCOUNTS["anna"]})["access_token"]

    def logins() -> int:
        return int(request(scene.server.port, "GET", "/locked/logins").json["camera"])

    room = scene.room("locked")
    with browser.visit(scene.page("locked", token=bearer(), mode="offer"), tolerates=OUTAGE) as visit:
        watch(visit)
        before = logins()
        until(lambda: logins() > before, within=2 * TOKEN_LIFE + 5, what="a new token")
        assert scene.room("locked") == room
        visit.wait_frames(10)
        assert visit.page.evaluate("window.pc.connectionState") == "connected"


def test_after_a_restart_of_the_server_there_is_a_new_room_and_who_watched_still_does(scene: Scene, browser: Browser) -> None:
    before = scene.room("plain")
    with browser.visit(scene.page("plain"), tolerates=OUTAGE) as visit:
        watch(visit)
        scene.server.restart()
        until(lambda: scene.room("plain") != before, within=20, what="a new room")
        visit.wait_frames(10)
        assert visit.page.evaluate("window.pc.connectionState") == "connected"
    with browser.visit(scene.page("plain", mode="offer")) as later:
        watch(later)


def test_a_viewer_that_waits_in_the_room_is_called_and_a_wrong_password_is_named(
    scene: Scene, browser: Browser, tmp_path: Path
) -> None:
    room = scene.post("/plain/create-room")["room_id"]
    locked = {"type": "rooms", "url": scene.url("locked"), "login_path": "/login", "login": "camera", "password": "guess"}
    config = {
        "camera": cameras(),
        "signaling": {"plain": {"type": "rooms", "url": scene.url("plain"), "room": room}, "locked": locked},
    }
    with browser.visit(f"{scene.url('plain')}/?room={room}") as visit:
        visit.wait_for("window.log.includes('open')")
        with Daemon(config, tmp_path) as daemon:
            watch(visit)
            lines = {component["name"]: component for component in daemon.status()["components"]}
            assert lines["signaling.locked"]["code"] == "signaling-auth"
            assert "wrong user name or password; check [signaling.locked] login and password" in lines["signaling.locked"]["detail"]
            assert "guess" not in "\n".join(daemon.lines)
