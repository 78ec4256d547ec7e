"""Watching through the bundled signaling server: who offers, how many watch, who is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.browser.scenes import FPS, picture
from tests.harness.browser import Browser
from tests.harness.daemons import Daemon, Server
from tests.harness.waiting import until


@dataclass(frozen=True, slots=True)
class Scene:
    server: Server
    daemon: Daemon

    def page(self, camera: str = "front", query: str = "") -> str:
        return f"{self.server.url}/view/{camera}{query}"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp("signaling")
    cameras = {
        "front": picture(title="Front door"),
        "solo": picture(width=320, height=240, fps=10, max_viewers=1),
    }
    with Server({}, directory / "server") as server:
        config = {"camera": cameras, "signaling": {"home": {"url": server.socket_url}}}
        with Daemon(config, directory / "daemon") as daemon:
            daemon.wait_ready()
            server.wait_camera("front")
            server.wait_camera("solo")
            yield Scene(server, daemon)
            daemon.assert_quiet()
            server.assert_quiet()


def test_the_viewer_offers_and_sees_moving_pictures(scene: Scene, browser: Browser) -> None:
    with browser.visit(scene.page()) as visit:
        visit.wait_playing()
        visit.assert_moving()
        assert visit.happened("answered")
        assert not visit.happened("called")
        (viewer,) = scene.daemon.wait_viewers(1)
        assert (viewer["camera"], viewer["via"]) == ("front", "signaling.home")


def test_the_camera_offers_and_is_seen_moving(scene: Scene, browser: Browser) -> None:
    scene.daemon.wait_viewers(0)
    with browser.visit(scene.page(query="?mode=receive")) as visit:
        visit.wait_playing()
        visit.assert_moving()
        assert visit.happened("called")
        assert not visit.happened("answered")
        scene.daemon.wait_viewers(1)


@pytest.mark.parametrize("query", ["", "?mode=receive"])
def test_a_reloaded_page_plays_again(scene: Scene, browser: Browser, query: str) -> None:
    scene.daemon.wait_viewers(0)
    with browser.visit(scene.page(query=query)) as visit:
        visit.wait_playing()
        visit.page.reload()
        visit.wait_playing()
        visit.assert_moving()
        # The session before the reload is gone too, and no later than a vanished viewer's.
        scene.daemon.wait_viewers(1, within=10)


def test_three_viewers_share_one_encoder(scene: Scene, browser: Browser) -> None:
    scene.daemon.wait_viewers(0)
    children = scene.daemon.capture_processes
    assert len(children) == 2, "one capture process for each of the two cameras"
    with ExitStack() as stack:
        visits = [
            stack.enter_context(browser.visit(url))
            for url in (scene.page(), scene.page(query="?mode=receive"), f"{scene.daemon.url}/view/front")
        ]
        for visit in visits:
            visit.wait_playing()
        scene.daemon.wait_viewers(3)
        before, started = scene.daemon.camera("front"), time.monotonic()
        for visit in visits:
            visit.wait_frames(FPS)
        after, took = scene.daemon.camera("front"), time.monotonic() - started
        assert after["viewers"] == 3
        assert after["restarts"] == 0
        assert scene.daemon.capture_processes == children
        rate = (after["units"] - before["units"]) / took
        assert FPS / 2 < rate < FPS * 1.4, f"{rate:.0f} access units a second for three viewers"
        for visit in visits:
            visit.assert_moving()


def test_a_closed_viewer_is_gone_within_ten_seconds(scene: Scene, browser: Browser) -> None:
    scene.daemon.wait_viewers(0)
    with browser.visit(scene.page()) as visit:
        visit.wait_playing()
        scene.daemon.wait_viewers(1)
    until(lambda: not scene.daemon.status()["viewers"], within=10, what="the viewer's session reaped")


@pytest.mark.parametrize("query", ["", "?mode=receive"])
def test_one_viewer_too_many_reads_why_and_joins_when_there_is_room(scene: Scene, browser: Browser, query: str) -> None:
    with browser.visit(scene.page("solo")) as first:
        first.wait_playing()
        with browser.visit(scene.page("solo", query)) as late:
            late.wait_for("window.edgecam && window.edgecam.state === 'refused'")
            assert "is full" in late.page.locator("#overlay-title").inner_text()
            first.page.goto("about:blank")
            late.wait_playing(within=30)


def test_a_camera_that_nobody_registered_is_waited_for(scene: Scene, browser: Browser) -> None:
    with browser.visit(scene.page("attic")) as visit:
        visit.wait_for("window.edgecam && window.edgecam.state === 'waiting'")
        assert visit.page.locator("#overlay-title").inner_text() == "Waiting for the camera"


def test_the_servers_front_page_leads_to_the_cameras(scene: Scene, browser: Browser) -> None:
    with browser.visit(scene.server.url) as visit:
        visit.page.get_by_role("link", name="Front door").first.click()
        visit.page.wait_for_url("**/view/front")
        visit.wait_playing()
