"""Watching through a Node server that knows one sender and one receiver, on a page that is not ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.browser.scenes import picture
from tests.harness.browser import Browser, Visit
from tests.harness.daemons import Daemon
from tests.harness.foreign import ForeignServer
from tests.harness.node import with_packages
from tests.harness.waiting import until
from tests.harness.web import request

SERVER = Path(__file__).parents[1] / "signaling_servers" / "websocket" / "server.mjs"
HOUSES = ("plain", "quiet", "twice")
OUTAGE = (r"WebSocket connection to .* failed",)


@dataclass(frozen=True, slots=True)
class Scene:
    server: ForeignServer
    daemon: Daemon

    def page(self, house: str, query: str = "") -> str:
        return f"{self.server.url}/{house}{query}"

    def count(self, house: str, what: str) -> int:
        return int(request(self.server.port, "GET", "/counts").json[house][what])

    def wait_registered(self, house: str) -> None:
        until(lambda: self.count(house, "registered") > 0, within=20, what=f"the camera registered at {house}")


def config(server: ForeignServer, *houses: str) -> dict[str, object]:
    sections = {house: {"url": f"ws://127.0.0.1:{server.port}/{house}"} for house in houses}
    return {"camera": {"front": picture(width=320, height=240)}, "signaling": sections}


def node_server() -> list[str | Path]:
    """The command for it, its page beside it."""
    program = with_packages(SERVER)
    program.with_name("receiver.html").write_bytes(SERVER.with_name("receiver.html").read_bytes())
    return ["node", program, "PORT"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with ForeignServer(node_server()) as server:
        with Daemon(config(server, *HOUSES), tmp_path_factory.mktemp("websocket")) as daemon:
            daemon.wait_ready()
            yield Scene(server, daemon)
            daemon.assert_quiet()


def watch(visit: Visit) -> None:
    """Until the page shows moving pictures."""
    visit.wait_frames(10)
    visit.assert_moving(5)


def test_the_camera_calls_each_time_a_receiver_joins(scene: Scene, browser: Browser) -> None:
    with browser.visit(scene.page("plain")) as visit:
        watch(visit)
        (viewer,) = scene.daemon.wait_viewers(1)
        assert (viewer["via"], viewer["camera"]) == ("signaling.plain", "front")
        visit.page.reload()
        watch(visit)


def test_a_second_receiver_takes_the_place_of_the_first(scene: Scene, browser: Browser) -> None:
    with browser.visit(scene.page("plain")) as first:
        watch(first)
        with browser.visit(scene.page("plain")) as second:
            watch(second)


@pytest.mark.parametrize("query", ["?mode=offer", "?mode=offer&early=1&end=1", "?mode=cross"])
def test_a_receiver_may_offer_too(scene: Scene, browser: Browser, query: str) -> None:
    with browser.visit(scene.page("plain", query)) as visit:
        watch(visit)


def test_messages_that_come_twice_do_no_harm(scene: Scene, browser: Browser) -> None:
    for query in ("", "?mode=offer&end=1"):
        with browser.visit(scene.page("twice", query)) as visit:
            watch(visit)


def test_a_server_that_knows_only_the_original_fields_and_relays_binary_frames(scene: Scene, browser: Browser) -> None:
    scene.wait_registered("quiet")
    with browser.visit(scene.page("quiet")) as visit:
        watch(visit)


def test_a_receiver_that_the_server_tells_of_when_the_camera_comes_is_called_once(scene: Scene, browser: Browser) -> None:
    with browser.visit(scene.page("plain"), tolerates=OUTAGE) as visit:
        watch(visit)
        scene.server.restart()  # the page comes back by itself, and so does the camera: one of them is first
        scene.wait_registered("plain")
        visit.wait_for("window.log.filter((type) => type === 'registered').length === 2")
        watch(visit)


def test_who_watches_keeps_the_picture_while_the_server_is_restarted(scene: Scene, browser: Browser) -> None:
    with browser.visit(scene.page("plain"), tolerates=OUTAGE) as visit:
        watch(visit)
        visit.page.evaluate("() => { window.ws.onclose = null; window.before = window.pc; }")  # it does not come back
        scene.server.restart()
        scene.wait_registered("plain")
        visit.wait_frames(10)
        assert visit.page.evaluate("window.pc === window.before && window.pc.connectionState") == "connected"
    with browser.visit(scene.page("plain")) as later:
        watch(later)


def test_a_receiver_that_was_there_first_is_called_and_a_role_that_is_taken_is_waited_for(
    browser: Browser, tmp_path: Path
) -> None:
    """A server of its own, as the role must be free at first; two daemons want it. The server tells of no receiver that is there."""
    house = "quiet"
    with ForeignServer(node_server()) as server:
        with browser.visit(f"{server.url}/{house}", tolerates=OUTAGE) as visit:
            visit.wait_for("window.log.includes('registered')")
            with Daemon(config(server, house), tmp_path / "first") as first:
                watch(visit)
                with Daemon(config(server, house), tmp_path / "second") as second:
                    second.wait_logged("component.state", component=f"signaling.{house}", code="signaling-refused")
                    visit.wait_frames(5)
                    first.kill()  # its socket is closed by the kernel, its peer connection says nothing
                    until(
                        lambda: second.get("/readyz").status == 200, within=15, what="the second camera registered"
                    )
                    assert second.logged("component.state", component=f"signaling.{house}", state="running")
                    watch(visit)
