"""The page that makes a phone a camera: Chromium on both sides, the real server between."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.harness import pictures
from tests.harness.browser import Browser, Visit
from tests.harness.daemons import Server
from tests.harness.processes import run_edgecam
from tests.harness.waiting import until

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
LIVE = "window.edgecam && window.edgecam.state === 'live'"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server({}, tmp_path_factory.mktemp("phone")) as running:
        yield running
        running.assert_quiet()


def assert_moving(viewer: Visit) -> None:
    """Two pictures of Chromium's own camera differ. Its dial is empty for a moment in each turn: one of them may be plain."""
    first = viewer.picture()
    viewer.wait_frames(10)
    assert pictures.difference(first, viewer.picture()) > 0.001


@contextmanager
def phone(browser: Browser, server: Server, name: str, **choices: str) -> Iterator[Visit]:
    """A phone that sends as the camera `name`."""
    with browser.visit(f"{server.url}/send?camera={name}", **PHONE) as visit:
        for field, value in choices.items():
            visit.page.select_option(f"#{field}", value)
        visit.page.tap("#btn-send")
        visit.wait_for(LIVE)
        yield visit


def test_a_phone_is_watched_on_the_viewer_page_and_the_picture_moves(server: Server, browser: Browser) -> None:
    with phone(browser, server, "pocket") as sender, browser.visit(f"{server.url}/view/pocket") as viewer:
        viewer.wait_playing()
        assert_moving(viewer)
        assert viewer.happened("answered")
        sender.wait_for("window.edgecam.viewers === 1")
        assert sender.page.locator("#audience").inner_text() == "1 person is watching"
        assert sender.page.locator("#title").inner_text() == "pocket"
        assert (viewer.inbound() or {})["frameWidth"] > 0


def test_the_camera_calls_a_viewer_that_does_not_offer(server: Server, browser: Browser) -> None:
    with phone(browser, server, "caller"), browser.visit(f"{server.url}/view/caller?mode=receive") as viewer:
        viewer.wait_playing()
        assert_moving(viewer)
        assert viewer.happened("called")


def test_a_viewer_that_waits_sees_the_phone_when_it_comes_and_many_watch(server: Server, browser: Browser) -> None:
    with ExitStack() as stack:
        early = stack.enter_context(browser.visit(f"{server.url}/view/party"))
        early.wait_for("window.edgecam && window.edgecam.state === 'waiting'")
        sender = stack.enter_context(phone(browser, server, "party", size="640x480", rate="15"))
        late = stack.enter_context(browser.visit(f"{server.url}/view/party"))
        for viewer in (early, late):
            viewer.wait_playing()
            assert_moving(viewer)
        sender.wait_for("window.edgecam.viewers === 2")
        late.page.goto("about:blank")
        sender.wait_for("window.edgecam.viewers === 1", within=30)


@pytest.mark.parametrize("size", ["640x480", "1280x720", "1920x1080"])
def test_each_size_is_what_the_viewer_gets(server: Server, browser: Browser, size: str) -> None:
    with phone(browser, server, f"size-{size}", size=size) as sender:
        width, height = map(int, size.split("x"))
        settings = sender.page.evaluate("window.edgecam.settings")
        assert (settings["width"], settings["height"]) == (width, height)


@pytest.mark.parametrize("rate", ["15", "24", "30"])
def test_each_rate_is_what_the_camera_gives(server: Server, browser: Browser, rate: str) -> None:
    with phone(browser, server, f"rate-{rate}", rate=rate) as sender:
        assert sender.page.evaluate("window.edgecam.settings.frameRate") == pytest.approx(int(rate), abs=1)


def test_front_and_back_size_and_rate_change_under_a_viewer_on_the_same_connection(server: Server, browser: Browser) -> None:
    with phone(browser, server, "change", size="640x480") as sender, browser.visit(f"{server.url}/view/change") as viewer:
        viewer.wait_playing()
        viewer.mark_connection()
        before = sender.page.evaluate("window.edgecam.events.filter(({type}) => type === 'camera-opened').length")
        sender.page.tap("#btn-flip")
        sender.wait_for(f"window.edgecam.events.filter(({{type}}) => type === 'camera-opened').length > {before}")
        assert sender.page.input_value("#source") == "user"
        sender.page.select_option("#size", "1280x720")
        sender.wait_for("window.edgecam.settings?.width === 1280")
        sender.page.select_option("#rate", "15")
        sender.wait_for("Math.round(window.edgecam.settings?.frameRate) === 15")
        viewer.wait_frames(10)
        assert_moving(viewer)
        viewer.assert_same_connection()


def test_stop_stops_and_the_viewer_waits_until_it_starts_again(server: Server, browser: Browser) -> None:
    with phone(browser, server, "pause", size="640x480") as sender, browser.visit(f"{server.url}/view/pause") as viewer:
        viewer.wait_playing()
        sender.page.tap("#btn-send")
        sender.wait_for("window.edgecam.state === 'idle'")
        assert sender.page.evaluate("document.getElementById('preview').srcObject") is None
        viewer.wait_for("window.edgecam.state !== 'playing'")
        sender.page.tap("#btn-send")
        sender.wait_for(LIVE)
        viewer.wait_playing(within=30)
        assert_moving(viewer)


def test_a_server_that_restarts_takes_no_picture_away_and_gets_the_phone_back(tmp_path: Path, browser: Browser) -> None:
    tolerated = ["WebSocket connection to .* failed", "ERR_CONNECTION_REFUSED"]
    with Server({}, tmp_path) as server, ExitStack() as stack:
        sender = stack.enter_context(browser.visit(f"{server.url}/send?camera=robust", tolerates=tolerated, **PHONE))
        sender.page.select_option("#size", "640x480")
        sender.page.tap("#btn-send")
        sender.wait_for(LIVE)
        viewer = stack.enter_context(browser.visit(f"{server.url}/view/robust", tolerates=tolerated))
        viewer.wait_playing()
        viewer.mark_connection()
        server.kill()
        sender.wait_for("window.edgecam.state === 'waiting'")
        viewer.wait_frames(10)
        server.restart()
        sender.wait_for(LIVE, within=30)
        server.wait_camera("robust")
        viewer.wait_frames(10)
        viewer.assert_same_connection()


def test_a_name_that_is_taken_is_said_and_waited_for(server: Server, browser: Browser) -> None:
    with phone(browser, server, "mine", size="640x480") as first, browser.visit(f"{server.url}/send?camera=mine", **PHONE) as second:
        second.page.tap("#btn-send")
        second.wait_for("window.edgecam.state === 'waiting'")
        assert second.page.locator("#problem-title").inner_text() == "Another camera has this name"
        first.page.tap("#btn-send")
        second.wait_for(LIVE, within=15)


def test_an_invited_camera_has_its_name_given_and_no_other_is_let_in(tmp_path: Path, browser: Browser) -> None:
    section = {"public_url": "http://localhost"}
    with Server({"server": section}, tmp_path) as server:
        command = ["invite", "--config", str(server.file), "--url", server.url]
        done = run_edgecam(*command, "--role", "camera", "--camera", "yard", state_dir=tmp_path)
        with browser.visit(done.stdout.splitlines()[0], **PHONE) as visit:
            visit.wait_for("document.getElementById('name').readOnly")
            assert "token" not in visit.page.url
            visit.page.tap("#btn-send")
            visit.wait_for(LIVE)
            assert visit.page.locator("#title").inner_text() == "yard"
        done = run_edgecam(*command, state_dir=tmp_path)
        link = done.stdout.splitlines()[0].replace("/?", "/send?camera=yard&")
        with browser.visit(link, **PHONE) as visit:
            visit.page.tap("#btn-send")
            visit.wait_for("window.edgecam.state === 'refused'")
            assert "is not for a camera named yard" in visit.page.locator("#problem-title").inner_text()


def test_what_is_pressed_lies_within_a_thumbs_reach_on_every_screen(server: Server, browser: Browser) -> None:
    for width, height in ((390, 844), (360, 640), (844, 390), (1280, 800)):
        options = {**PHONE, "viewport": {"width": width, "height": height}}
        with browser.visit(f"{server.url}/send?camera=look", **options) as visit:
            until(lambda: visit.page.input_value("#name") == "look", within=10, what="the page ready")
            for selector in ("#btn-send", "#btn-flip", "#btn-share", "#source", "#size", "#rate"):
                box = visit.page.locator(selector).bounding_box()
                assert box is not None
                assert box["x"] >= 0
                assert box["x"] + box["width"] <= width
                assert box["y"] + box["height"] <= height, (selector, width, height, box)
                assert box["height"] >= 40
            assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
