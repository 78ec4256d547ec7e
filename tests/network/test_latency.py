"""The latency that viewers report is the real one: what a cable adds, it shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.browser.scenes import picture
from tests.harness.browser import running_browser
from tests.harness.stolen import repeated_while_stolen
from tests.harness.waiting import until
from tests.network.cable import CAMERA_ADDRESS, Impaired, impaired_link
from tests.network.hosts import RemoteDaemon

pytestmark = pytest.mark.alone

ADDED_MS = 200.0
TOLERANCE_MS = 30.0
SETTLED_WITHIN = 75.0  # seconds; a step in delay looks like a queue at first, and on a busy machine for longer
FIGURES = ("latency_p50_ms", "latency_p95_ms")
METRIC = r'edgecam_viewer_latency_seconds\{camera="front",percentile="50",viewer="worst"\} (\S+)'


@pytest.fixture
def link() -> Iterator[Impaired]:
    with impaired_link() as made:
        yield made


@pytest.fixture
def daemon(link: Impaired, tmp_path: Path) -> Iterator[RemoteDaemon]:
    with RemoteDaemon(link.camera, {"camera": {"front": {**picture(fps=29.7), "renditions": 1}}}, tmp_path) as running:
        running.wait_ready()
        yield running
        running.assert_quiet()


def reported(daemon: RemoteDaemon) -> dict[str, Any]:
    (viewer,) = daemon.status()["viewers"]
    return dict(viewer)


def reports(daemon: RemoteDaemon, enough: Callable[[list[float]], bool]) -> list[float]:
    """The medians that the viewer reports from now on, until there are enough; the first one may speak of before."""
    before = reported(daemon)
    seen: list[dict[str, Any]] = []

    def another() -> bool:
        viewer, last = reported(daemon), seen[-1] if seen else before
        if viewer["latency_p50_ms"] is not None and any(viewer[key] != last[key] for key in FIGURES):
            seen.append(viewer)
        return enough([viewer["latency_p50_ms"] for viewer in seen[1:]])

    until(another, within=SETTLED_WITHIN, what="the latency expected", explain=lambda: seen)
    return [viewer["latency_p50_ms"] for viewer in seen[1:]]


def assert_settles(daemon: RemoteDaemon, expected: float) -> None:
    """Two reports running say so. Before, the sender may take the step in delay for a queue and hold pictures back."""

    def there(medians: list[float]) -> bool:
        return len(medians) >= 2 and all(abs(median - expected) <= TOLERANCE_MS for median in medians[-2:])

    reports(daemon, there)


def in_chromium(link: Impaired, scenario: Callable[[Any], None]) -> None:
    """Run the scenario with a browser on the far machine, in a thread: this one has a browser already."""

    def there() -> None:
        with link.far.inside(), running_browser() as browser:
            scenario(browser)

    with ThreadPoolExecutor(1) as thread:
        thread.submit(there).result()


@pytest.mark.timeout(600)
def test_200_ms_in_the_cable_are_200_ms_in_the_metric(link: Impaired, daemon: RemoteDaemon) -> None:
    def scenario(browser: Any) -> None:
        link.cable.both(delay_ms=0.0)
        daemon.wait_viewers(0)
        with browser.visit(daemon.link(CAMERA_ADDRESS, "/view/front")) as visit:
            visit.wait_playing()
            (before,) = reports(daemon, lambda medians: len(medians) == 1)
            link.cable.set(out={"delay_ms": ADDED_MS})  # the pictures' direction only: no halving of round trips tells it
            assert_settles(daemon, before + ADDED_MS)
            link.cable.both(delay_ms=ADDED_MS)
            assert_settles(daemon, before + ADDED_MS)
            (metric,) = map(float, re.findall(METRIC, daemon.get("/metrics").text))
            assert abs(metric * 1000 - before - ADDED_MS) <= TOLERANCE_MS

    repeated_while_stolen(lambda: in_chromium(link, scenario))
