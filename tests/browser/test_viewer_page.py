"""The viewer page in a person's hands: figures, controls, keys, the clock in the picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.scenes import picture
from tests.harness import pictures
from tests.harness.browser import Browser, Visit
from tests.harness.daemons import Daemon

# Everything from the camera's clock to this script's reading it, on two busy cores; a second would be a queue.
PLAUSIBLE_AGE_MS = 1000
FIGURES = ["g2g", "bitrate", "rtt", "resolution", "fps", "loss", "jitter", "buffer", "path", "codec", "decoded"]
FIGURES += ["dropped", "freezes", "since"]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon({"camera": {"front": picture(title="Front door")}}, tmp_path_factory.mktemp("page")) as running:
        running.wait_ready()
        yield running
        running.assert_quiet()


@pytest.fixture
def page(daemon: Daemon, browser: Browser) -> Iterator[Visit]:
    """The viewer page, playing."""
    with browser.visit(f"{daemon.url}/view/front", accept_downloads=True) as visit:
        visit.wait_playing()
        yield visit


def test_the_clock_in_the_picture_advances_and_is_young(page: Visit) -> None:
    first = page.clock()
    page.wait_frames(30)
    second = page.clock()
    assert first is not None
    assert second is not None
    assert 500 < (second[0] - first[0]) % 2**32 < 30_000
    assert -50 < first[1] < PLAUSIBLE_AGE_MS
    assert -50 < second[1] < PLAUSIBLE_AGE_MS


def test_the_glass_to_glass_figure_agrees_with_the_clock_in_the_picture(page: Visit) -> None:
    page.wait_for("/^\\d+ ms · p95 \\d+ ms$/.test(document.getElementById('stat-g2g').textContent)", within=5)
    shown = page.page.evaluate("window.edgecam.stats.g2g_p50_ms")
    read = page.clock()
    assert read is not None
    assert 0 < shown < PLAUSIBLE_AGE_MS
    assert abs(shown - read[1]) < 300


def test_every_figure_is_there_within_five_seconds(page: Visit) -> None:
    filled = "id => !['', '–'].includes(document.getElementById('stat-' + id).textContent.trim())"  # noqa: RUF001
    page.wait_for(f"{FIGURES}.every({filled})", within=5)
    text = {name: page.page.locator(f"#stat-{name}").inner_text() for name in FIGURES}
    assert text["resolution"] == "640×480"  # noqa: RUF001
    assert text["path"] == "Direct"
    assert text["codec"].startswith("H.264")
    assert float(text["fps"].split()[0]) > 10
    assert text["bitrate"].endswith(("kb/s", "Mb/s"))


def test_the_snapshot_button_saves_a_jpeg_of_the_picture(page: Visit, tmp_path: Path) -> None:
    with page.page.expect_download() as download:
        page.page.click("#btn-snapshot")
    assert download.value.suggested_filename.startswith("front-")
    assert download.value.suggested_filename.endswith(".jpg")
    download.value.save_as(tmp_path / "saved.jpg")
    data = (tmp_path / "saved.jpg").read_bytes()
    assert data.startswith(b"\xff\xd8\xff")
    saved = pictures.decode(data)
    assert (saved.width, saved.height) == (640, 480)
    assert pictures.contrast(saved) > 20


def test_the_snapshot_key_saves_a_jpeg_too(page: Visit) -> None:
    with page.page.expect_download() as download:
        page.page.keyboard.press("s")
    assert download.value.suggested_filename.endswith(".jpg")


def test_full_screen_by_button_and_left_by_key(page: Visit) -> None:
    page.page.click("#btn-fullscreen")
    page.wait_for("document.fullscreenElement?.id === 'player'")
    page.wait_for("document.getElementById('btn-fullscreen').getAttribute('aria-pressed') === 'true'")
    page.page.keyboard.press("f")
    page.wait_for("document.fullscreenElement === null")
    page.wait_frames(5)


def test_mute_is_there_and_says_that_this_camera_is_silent(page: Visit) -> None:
    mute = page.page.locator("#btn-mute")
    assert mute.is_visible()
    assert mute.is_disabled()
    assert mute.get_attribute("title") == "This camera sends no sound"
    page.page.keyboard.press("m")
    assert page.page.evaluate("document.getElementById('video').muted") is True


def test_the_figures_fold_away_and_the_page_remembers_it(page: Visit) -> None:
    page.page.keyboard.press("i")
    assert not page.page.locator("#panel").is_visible()
    page.page.reload()
    page.wait_playing()
    assert not page.page.locator("#panel").is_visible()
    page.page.click("#btn-stats")
    assert page.page.locator("#panel").is_visible()


def test_the_reconnect_key_fetches_the_picture_anew(page: Visit, daemon: Daemon) -> None:
    page.mark_connection()
    page.page.keyboard.press("r")
    page.wait_for("window.edgecam.pc !== null && window.edgecam.pc !== window.markedConnection")
    page.wait_playing()
    daemon.wait_viewers(1)


def test_keys_with_a_modifier_belong_to_the_browser(page: Visit) -> None:
    page.mark_connection()
    page.page.keyboard.press("Control+i")
    page.page.keyboard.press("Alt+r")
    page.wait_frames(5)
    page.assert_same_connection()
    assert page.page.locator("#panel").is_visible()
