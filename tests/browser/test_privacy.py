"""The privacy switch as people use it: on the status page, and what whoever watches sees of it."""

from __future__ import annotations

from playwright.sync_api import Dialog

from tests.browser.conftest import StartDaemon
from tests.browser.scenes import picture
from tests.harness.browser import Browser, Visit

# Chromium itself writes refused requests to the console.
REFUSED = ["503 .*(snapshot.jpg|whep/front)"]


def press(status: Visit, button: str) -> str:
    """Press it and say yes; returns what was asked."""
    asked: list[str] = []

    def agree(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.accept()

    status.page.once("dialog", agree)
    status.page.locator("#cameras").get_by_text(button, exact=True).click()
    status.wait_for("document.querySelector('#cameras button[role=switch]').disabled === false")
    return asked[0]


def test_a_person_makes_the_camera_private_and_watches_again_when_that_is_over(
    start_daemon: StartDaemon, browser: Browser
) -> None:
    daemon = start_daemon({"camera": {"front": picture(title="Hall")}})
    daemon.wait_camera("front", condition="running")
    with browser.visit(f"{daemon.url}/view/front", tolerates=REFUSED) as viewer, browser.visit(daemon.url, tolerates=REFUSED) as status:
        viewer.wait_playing()
        status.wait_for("[...document.images].some((image) => image.naturalWidth === 640)")
        assert "Close Hall?" in press(status, "Make private")
        daemon.wait_camera("front", code="private", device="closed", within=5)
        viewer.wait_for("document.getElementById('overlay-title').textContent === 'The camera is private'")
        viewer.wait_for("document.getElementById('state').textContent === 'Private'")
        assert viewer.page.evaluate("document.getElementById('still').hidden && document.getElementById('still').width === 0")
        assert viewer.page.evaluate("document.getElementById('video').srcObject === null"), "nothing of before stays on the screen"
        status.page.locator("#cameras > li").get_by_text("Resting", exact=True).wait_for()
        status.wait_for("document.querySelector('#cameras img').hidden && !document.querySelector('#cameras img').src")
        assert "switched on by page" in status.page.locator("#cameras > li").inner_text()
        assert "Open Hall again" in press(status, "End privacy")
        viewer.wait_playing(within=20)
        viewer.assert_moving()
