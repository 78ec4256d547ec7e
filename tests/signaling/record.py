"""Record transcripts anew, between a real daemon, real servers and Chromium: `python -m tests.signaling.record [NAME...]`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.browser.scenes import picture
from tests.browser.test_rooms import room_of
from tests.browser.test_websocket_foreign import node_server
from tests.harness.browser import Browser, Visit, running_browser
from tests.harness.daemons import Daemon
from tests.harness.foreign import ForeignServer, python_module
from tests.harness.waiting import until
from tests.signaling.transcript import TRANSCRIPTS, Recorder, Step, save
from tests.signaling_servers.rooms.server import ACCOUNTS, TOKEN_LIFE


@contextmanager
def recorded(server: str) -> Iterator[tuple[str, list[Step]]]:
    """The address of a recorder in front of `server`, on a thread of its own, and what it writes down."""
    recorder, ready, ended = Recorder(server), threading.Event(), threading.Event()
    address: list[str] = []

    async def serve() -> None:
        async with recorder.listening() as bound:
            address.append(str(bound))
            ready.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield address[0], recorder.steps
    finally:
        ended.set()
        thread.join()


@contextmanager
def daemon(section: dict[str, Any]) -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory() as directory:
        config = {"camera": {"front": picture(width=320, height=240)}, "signaling": {"home": section}}
        with Daemon(config, Path(directory)) as running:
            yield running


def watched(visit: Visit) -> None:
    visit.wait_frames(5)


def rooms(browser: Browser, server: str, house: str, more: dict[str, Any], pages: list[str], linger: float = 0.0) -> list[Step]:
    """The camera in a room of `house`, and pages that come one after the other and stay."""
    with recorded(server) as (address, steps), daemon({"type": "rooms", "url": f"http://{address}/{house}", **more}) as camera:
        room = room_of(camera, "home")
        with browser.profile() as profile:
            for query in pages:
                visit = Visit(profile.new_page())
                visit.page.goto(f"{server}/{house}/?room={room}&{query}")
                watched(visit)
        if linger:
            before = len(steps)
            until(lambda: len(steps) > before + 2, within=linger, what="the camera coming back")
            room_of(camera, "home")
        return list(steps)


def websocket(browser: Browser, server: str, house: str, query: str) -> list[Step]:
    """The camera registered at `house`, and a page that comes twice."""
    with recorded(server) as (address, steps), daemon({"url": f"ws://{address}/{house}"}) as camera:
        camera.wait_ready()
        with browser.profile() as profile:
            visit = Visit(profile.new_page())
            visit.page.goto(f"{server}/{house}{query}")
            watched(visit)
            visit.page.reload()
            watched(visit)
        return list(steps)


def main() -> None:
    with running_browser() as browser:
        with ForeignServer(python_module("tests.signaling_servers.rooms.server", "PORT")) as server:
            login = {"login_path": "/login", "login": "camera", "password": ACCOUNTS["camera"]}
            done = {
                "rooms/plain": lambda: rooms(browser, server.url, "plain", {}, ["", "mode=offer&form=object&early=1"]),
                "rooms/cross": lambda: rooms(browser, server.url, "plain", {}, ["mode=cross"]),
                "rooms/noticed": lambda: rooms(browser, server.url, "noticed", {}, ["user=anna", "user=bert&mode=offer"]),
                "rooms/twice": lambda: rooms(browser, server.url, "twice", {}, ["mode=offer"]),
                "rooms/locked": lambda: rooms(browser, server.url, "locked", login, [], TOKEN_LIFE + 5),
            }
            write(done)
        with ForeignServer(node_server()) as server:
            done = {
                "websocket/plain": lambda: websocket(browser, server.url, "plain", ""),
                "websocket/quiet": lambda: websocket(browser, server.url, "quiet", ""),
                "websocket/twice": lambda: websocket(browser, server.url, "twice", "?mode=offer&end=1"),
                "websocket/cross": lambda: websocket(browser, server.url, "plain", "?mode=cross"),
            }
            write(done)


def write(done: dict[str, Callable[[], list[Step]]]) -> None:
    """Those that the command line names, or all."""
    for name, record in done.items():
        if name in sys.argv[1:] or len(sys.argv) == 1:
            save(TRANSCRIPTS / f"{name}.jsonl", record())


if __name__ == "__main__":
    main()
