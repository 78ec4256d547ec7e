"""Watching in Chromium while the configuration changes: the same connection, the same picture."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.scenes import picture
from tests.daemon.reloading import Reloadable
from tests.harness.browser import Browser
from tests.harness.daemons import Server
from tests.harness.waiting import until

SMALL = {"fps": 15, "width": 320, "height": 240, "bitrate_kbps": 400}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server({}, tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def daemon(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reloadable]:
    config = {
        "camera": {"front": picture(**SMALL)},
        "signaling": {"home": {"url": server.socket_url}},
        "reload": {"trial": 3600},
    }
    with Reloadable(config, tmp_path_factory.mktemp("daemon")) as running:
        running.wait_ready()
        server.wait_camera("front")
        yield running
        running.assert_quiet()


def test_a_page_goes_on_playing_whatever_is_changed_around_its_camera(
    server: Server, daemon: Reloadable, browser: Browser
) -> None:
    with browser.visit(f"{server.url}/view/front") as visit:
        visit.wait_playing()
        visit.mark_connection()
        daemon.reload({"camera": {"yard": picture(**SMALL)}, "log": {"level": "debug"}, "ice": {"ipv6": False}})
        server.wait_camera("yard")
        # The camera registers anew for another title, and for another heartbeat: the server tells its viewers, who stay.
        daemon.reload({"camera": {"front": {"title": "Front door"}}})
        daemon.reload({"signaling": {"home": {"heartbeat": 5}}, "log": {"level": "info"}})
        daemon.reload({"camera": {"yard": None}})
        visit.wait_frames(15)
        visit.assert_same_connection()
        # Without signaling for good: media needs none.
        daemon.reload({"signaling": {"home": None}})
        visit.wait_frames(15)
        visit.assert_same_connection()
        daemon.reload({"signaling": {"home": {"url": server.socket_url}}})
        server.wait_camera("front")
        visit.wait_frames(15)
        visit.assert_same_connection()
        assert daemon.camera("front")["viewers"] == 1
        assert daemon.camera("front")["restarts"] == 0


def test_a_camera_that_is_opened_anew_in_another_size_stays_on_the_same_connection(daemon: Reloadable, browser: Browser) -> None:
    with browser.visit(f"{daemon.url}/view/front") as visit:
        visit.wait_playing()
        visit.mark_connection()
        for width, height, bitrate in ((640, 480, 800), (320, 240, 300), (1280, 720, 1500)):
            # One rendition: where two processors do all of it, a browser may be taken for one behind a bad link.
            size = {"width": width, "height": height, "bitrate_kbps": bitrate, "renditions": 1}
            daemon.reload({"camera": {"front": size}})
            visit.wait_for(f"document.querySelector('video').videoWidth === {width}", within=45)
            visit.wait_frames(10)
            visit.assert_moving()
        daemon.reload({"camera": {"front": {"renditions": 3}}})
        until(lambda: len(daemon.camera("front")["renditions"]) == 3, within=20, what="three renditions")
        processes = daemon.capture_processes
        for bitrate, sizes in ((300, 2), (4000, 3)):  # three, of which one makes no sense at so little
            daemon.reload({"camera": {"front": {"bitrate_kbps": bitrate}}})
            assert len(daemon.camera("front")["renditions"]) == sizes
            visit.wait_frames(10)
            visit.assert_moving()
        assert daemon.capture_processes == processes
        visit.assert_same_connection()


def test_a_page_of_a_camera_that_was_removed_is_told_and_finds_it_again(daemon: Reloadable, browser: Browser) -> None:
    daemon.reload({"camera": {"yard": picture(**SMALL)}})
    with browser.visit(f"{daemon.url}/view/yard", tolerates=[r"404 \(Not Found\)"]) as visit:
        visit.wait_playing()
        daemon.reload({"camera": {"yard": None}})
        visit.wait_for("window.edgecam.state !== 'playing'")
        until(lambda: not daemon.status()["viewers"], within=10, what="no viewer left")
        daemon.reload({"camera": {"yard": picture(**SMALL)}})
        visit.wait_playing(within=40)
