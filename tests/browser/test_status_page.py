"""The daemon's front page: what a person reads there is what is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.conftest import StartDaemon
from tests.browser.scenes import FPS, picture, v4l2
from tests.harness.browser import Browser
from tests.harness.daemons import Daemon
from tests.harness.ports import free_port

# A camera that cannot be photographed answers 503, which Chromium itself writes to the console.
NO_PICTURE = "503 .*snapshot.jpg"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("status")
    config = {
        "camera": {"front": picture(title="Front <door>"), "ghost": v4l2(directory / "no-such-device", title="Ghost")},
        "signaling": {"home": {"url": f"ws://127.0.0.1:{free_port()}/ws", "cameras": ["front"]}},
    }
    with Daemon(config, directory) as running:
        running.wait_camera("front", condition="running")
        yield running
        running.assert_quiet()


def test_each_camera_has_a_card_with_its_picture_its_state_and_its_figures(daemon: Daemon, browser: Browser) -> None:
    with browser.visit(daemon.url, tolerates=[NO_PICTURE]) as visit:
        front = visit.page.locator("#cameras > li").filter(has_text="Front <door>")
        front.get_by_text("Running", exact=True).wait_for()
        front.get_by_text("libx264").first.wait_for()
        visit.wait_for("[...document.images].some((image) => image.naturalWidth === 640)")
        assert "640×480" in front.inner_text()  # noqa: RUF001
        ghost = visit.page.locator("#cameras > li").filter(has_text="Ghost")
        ghost.get_by_text("Waiting", exact=True).wait_for()
        assert "plug the camera in" in ghost.inner_text()


def test_the_page_says_that_the_daemon_is_not_ready_and_why(daemon: Daemon, browser: Browser) -> None:
    with browser.visit(daemon.url, tolerates=[NO_PICTURE]) as visit:
        visit.wait_for("document.getElementById('verdict-title').textContent === 'Not ready'")
        reasons = visit.page.locator("#verdict-reasons").inner_text()
        assert "camera-absent" in reasons
        assert "signaling-unreachable" in reasons
        assert visit.page.locator("#signaling tr").inner_text().startswith("home")


def test_a_viewer_is_listed_while_it_watches(daemon: Daemon, browser: Browser) -> None:
    with browser.visit(daemon.url, tolerates=[NO_PICTURE]) as visit:
        visit.page.locator("#no-viewers").wait_for()
        with browser.visit(f"{daemon.url}/view/front") as watching:
            watching.wait_playing()
            visit.page.locator("#viewers tr").filter(has_text="connected").wait_for()
            assert "direct" in visit.page.locator("#viewers tr").inner_text()
        visit.page.locator("#no-viewers").wait_for()


def test_watch_leads_to_moving_pictures(daemon: Daemon, browser: Browser) -> None:
    with browser.visit(daemon.url, tolerates=[NO_PICTURE]) as visit:
        visit.page.get_by_role("link", name="Watch Front").click()
        visit.page.wait_for_url("**/view/front")
        visit.wait_playing()
        visit.wait_frames(FPS)
        visit.page.get_by_role("link", name="All cameras").click()
        visit.page.locator("#cameras > li").first.wait_for()


def test_a_page_whose_daemon_is_gone_says_that_it_is_stale(start_daemon: StartDaemon, browser: Browser) -> None:
    daemon = start_daemon({"camera": {"front": picture()}})
    daemon.wait_ready()
    with browser.visit(daemon.url, tolerates=["net::ERR_CONNECTION_REFUSED"]) as visit:
        visit.wait_for("document.getElementById('fresh').textContent === 'Up to date'")
        visit.wait_for("document.getElementById('verdict-title').textContent === 'Ready'")
        daemon.terminate(within=5)
        visit.wait_for("document.getElementById('fresh').textContent.startsWith('Stale for')")
