"""Record the Socket.IO transcripts anew, with a real daemon, Node servers and Chromium: `python -m tests.signaling.record_socketio`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.browser.scenes import picture
from tests.browser.test_socketio_call import ANNA, CAMERA, MALLORY
from tests.browser.test_socketio_call import Scene as Town
from tests.browser.test_socketio_room import CAMERA as NAME
from tests.browser.test_socketio_room import ROOM
from tests.browser.test_socketio_room import Scene as House
from tests.fakes.v4l2 import FakeV4l2
from tests.harness.browser import Browser, running_browser
from tests.harness.daemons import Daemon
from tests.signaling.transcript import OWN_SDP, TRANSCRIPTS
from tests.signaling_servers.socketio import SocketioServer


@contextmanager
def daemon(section: dict[str, Any]) -> Iterator[Daemon]:
    cameras = {"front": picture(width=320, height=240, title=NAME)}
    with tempfile.TemporaryDirectory() as directory, Daemon({"camera": cameras, "signaling": {"it": section}}, Path(directory)) as running:
        running.wait_ready()
        yield running


def save(path: Path, server: SocketioServer, camera: str) -> None:
    """Keep what the camera has said and heard; its descriptions and candidates name this machine's addresses, and are left out."""
    rows = []
    for line in server.ask("lines"):
        said = line["from"] == camera
        if (not said and line.get("to") != camera) or (said and line["event"] in {"call.ice", "ice-candidate"}):
            continue
        arguments = line["args"]
        if said and line["event"] == "call.end" and "does not take" not in arguments[0]["reason"]:
            continue  # the page has closed its connection, of which the camera heard before it heard of the end of the call
        if said and "sdp" in arguments[0]:
            arguments = [{**arguments[0], "sdp": {**arguments[0]["sdp"], "sdp": OWN_SDP}}]
        rows.append({"who": "camera" if said else "server", "event": line["event"], "args": arguments})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def call(browser: Browser, name: str, act: Callable[[Town], None]) -> None:
    with SocketioServer("call") as server:
        section = {"type": "socketio-call", "url": server.url, "email": CAMERA, "password": "camera-secret", "callers": ["*@calls.example"]}
        with daemon(section) as running:
            town = Town(server, running, browser)
            town.wait_reachable()
            act(town)
            save(TRANSCRIPTS / "socketio-call" / f"{name}.jsonl", server, CAMERA)


def room(browser: Browser, name: str, act: Callable[[House], None]) -> None:
    with SocketioServer("room") as server:
        with daemon({"type": "socketio-room", "url": server.url, "room": ROOM}) as running:
            house = House(server, running, browser, FakeV4l2(Path(), Path()))
            house.wait_joined()
            act(house)
            save(TRANSCRIPTS / "socketio-room" / f"{name}.jsonl", server, NAME)


def called(town: Town, **options: object) -> None:
    with town.person(ANNA, **options) as anna:  # type: ignore[arg-type]
        anna.page.evaluate(f"dial('{CAMERA}', {{late: true}})")
        anna.wait_frames()
        anna.page.evaluate("hangUp()")


def reloaded(town: Town) -> None:
    with town.person(ANNA) as anna:
        for _ in range(2):
            anna.page.evaluate(f"dial('{CAMERA}', {{invite: false}})")
            anna.wait_frames()
            anna.page.reload()
            anna.wait_for("window.calls.joined")


def calls(town: Town) -> None:
    with town.person(ANNA) as anna:
        town.call(ANNA)
        anna.wait_for("calls.state === 'ringing'")
        anna.page.evaluate("accept()")
        anna.wait_frames()


def refused(town: Town) -> None:
    with town.person(MALLORY) as mallory:
        mallory.page.evaluate(f"dial('{CAMERA}')")
        mallory.wait_for("calls.ended.length > 0")


def watched(house: House, **options: object) -> None:
    with house.participant("Anna", **options) as anna:  # type: ignore[arg-type]
        anna.wait_frames()


def copied(house: House) -> None:
    house.server.tell("set", copies=3)
    watched(house, offers="newcomer")


def main() -> None:
    with running_browser() as browser:
        call(browser, "called", called)
        call(browser, "thrice", lambda town: called(town, sockets=3, echo=1))
        call(browser, "reloaded", reloaded)
        call(browser, "calls", calls)
        call(browser, "refused", refused)
        room(browser, "newcomer", lambda house: watched(house, offers="newcomer"))
        room(browser, "waits", watched)
        room(browser, "early", lambda house: watched(house, offers="newcomer", late=1))
        room(browser, "crossing", lambda house: watched(house, crossing=1))
        room(browser, "stubborn", lambda house: watched(house, stubborn=1))
        room(browser, "thrice", copied)


if __name__ == "__main__":
    main()
