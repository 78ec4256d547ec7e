"""`edgecam demo`: one command, a printed link, moving pictures."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.harness.browser import Browser
from tests.harness.ports import free_port
from tests.harness.processes import Edgecam
from tests.harness.waiting import until


def links(demo: Edgecam) -> list[str]:
    """The addresses it printed, once both are there."""
    found = [word for line in demo.printed for word in line.split() if word.startswith("http://")]
    return found if len(found) == 2 else []


@pytest.mark.parametrize("source", ["test", "footage"])
def test_the_printed_link_shows_moving_pictures_until_ctrl_c(
    source: str, tmp_path: Path, footage: Path, browser: Browser
) -> None:
    chosen = "test" if source == "test" else str(footage)
    ports = ["--port", str(free_port()), "--web-port", str(free_port())]
    with Edgecam(["demo", "--source", chosen, *ports], tmp_path) as demo:
        viewer_page, status_page = until(lambda: links(demo), within=25, what="two links printed")
        with browser.visit(viewer_page) as visit:
            visit.wait_playing()
            visit.assert_moving()
        with browser.visit(status_page) as visit:
            visit.wait_for("document.body.innerText.includes('Demo camera')")
        demo.signal(signal.SIGINT)
        assert demo.wait(8) == 0
        # Nothing is wrong, so nothing is logged; the clock of a machine in which tests run may really be kept by nobody.
        assert [line for line in demo.lines if "clock-unsynchronised" not in line] == []
