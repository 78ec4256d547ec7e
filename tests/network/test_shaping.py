"""A viewer's link gets narrow and wide again: its picture goes on, and nobody else notices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.harness.browser import Browser
from tests.harness.footage import busy_footage
from tests.network.cable import CAMERA_ADDRESS, CAMERA_NEAR_ADDRESS, FAR_ADDRESS, Impaired, impaired_link
from tests.network.crowd import Crowd, Reception
from tests.network.far import WATCH, Look, Phase, judged, watch
from tests.network.hosts import RemoteDaemon, browser_on

pytestmark = pytest.mark.alone

WIDE, NARROW = {"rate_kbps": 4000}, {"rate_kbps": 600}
WAY = {"delay_ms": 10}
QUEUES = [{"queue_packets": 1000, "queue_ms": 0}, {"queue_packets": 1000, "queue_ms": 100}]
NEIGHBOURS = 4
CALM_MS = 200
PROBING = 0.1  # share of the time


def busy_camera() -> dict[str, Any]:
    """720p30 that would like to have more than its 2 Mbit/s."""
    path = str(busy_footage())
    return {"source": "file", "path": path, "width": 1280, "height": 720, "fps": 30, "bitrate_kbps": 2000}


@pytest.fixture(scope="module")
def link() -> Iterator[Impaired]:
    with impaired_link() as made:
        yield made


@pytest.fixture(scope="module")
def far(link: Impaired) -> Iterator[Browser]:
    """Chromium behind the cable."""
    with browser_on(link.far) as browser:
        yield browser


@pytest.fixture
def daemon(link: Impaired, tmp_path: Path) -> Iterator[RemoteDaemon]:
    with RemoteDaemon(link.camera, {"camera": {"front": busy_camera()}}, tmp_path / "daemon") as started:
        started.wait_ready()
        yield started


def calm(look: Look) -> bool:
    return look.queueing_ms < CALM_MS


def wide_again(look: Look) -> bool:
    return bool(look.viewer) and look.viewer["available_bps"] > 1_900_000


@dataclass(frozen=True, slots=True)
class Course:
    before: Phase
    down: Phase
    up: Phase
    width: int  # of the picture at the end

    @property
    def phases(self) -> tuple[Phase, ...]:
        return self.before, self.down, self.up


def settles(course: Course) -> None:
    down, up = course.down, course.up
    # Looking whether there is more again (a probe) may fill the queue for a moment; it empties at once.
    settled = down.lasting(calm, PROBING), up.lasting(wide_again)
    gaps = [phase.longest_gap for phase in course.phases]
    print(f"settled after {settled} s, longest gaps {gaps} s, {[look.queueing_ms for look in down.after(5)]}")
    assert max(gaps) < 1.0
    assert settled[0] < 5
    assert max(look.queueing_ms for look in down.after(5)) < 2 * CALM_MS
    assert settled[1] < 15
    # The better picture begins with a keyframe of some fifty packets, which leave no faster than they fit in.
    assert up.looks[-1].overflowed == up.looks[0].overflowed
    assert course.width == 1280


@pytest.mark.timeout(300)
@pytest.mark.parametrize("queue", QUEUES, ids=["deep queue", "shallow queue"])
def test_four_megabits_then_600_kilobits_then_four_again(
    link: Impaired, far: Browser, daemon: RemoteDaemon, queue: dict[str, float]
) -> None:
    def measure() -> Course:
        link.cable.set(out={**WIDE, **WAY, **queue}, back=WAY)
        with far.visit(daemon.link(CAMERA_ADDRESS, "/view/front")) as visit:
            visit.wait_playing()
            visit.page.evaluate(WATCH)
            before = watch(visit, daemon, link.cable, 6, FAR_ADDRESS)
            link.cable.set(out=NARROW)
            down = watch(visit, daemon, link.cable, 15, FAR_ADDRESS)
            link.cable.set(out=WIDE)
            up = watch(visit, daemon, link.cable, 18, FAR_ADDRESS)
            return Course(before, down, up, (visit.inbound() or {})["frameWidth"])

    judged(measure, settles, lambda course: max(phase.late_ms for phase in course.phases))


@dataclass(frozen=True, slots=True)
class Neighbours:
    before: Reception
    after: Reception
    late_ms: float


def notice_nothing(seen: Neighbours) -> None:
    before, after = seen.before, seen.after
    print(f"the other four together: {before} before, {after} with one shaped")
    assert after.packets_per_second >= 0.95 * before.packets_per_second
    assert after.delay_ms <= before.delay_ms + 5
    assert before.pictures_per_second > NEIGHBOURS * 20, "the machine is too busy to tell"
    assert after.pictures_per_second >= 0.95 * before.pictures_per_second


@pytest.mark.timeout(300)
def test_of_five_viewers_one_is_shaped_and_the_others_do_not_notice(
    link: Impaired, far: Browser, daemon: RemoteDaemon
) -> None:
    def measure() -> Neighbours:
        link.cable.set(out={**WIDE, **WAY, **QUEUES[0]}, back=WAY)
        with (
            Crowd(link.near, f"http://{CAMERA_NEAR_ADDRESS}:{daemon.port}/whep/front", daemon.token, NEIGHBOURS) as crowd,
            far.visit(daemon.link(CAMERA_ADDRESS, "/view/front")) as visit,
        ):
            visit.wait_playing()
            daemon.wait_viewers(NEIGHBOURS + 1)
            visit.page.evaluate(WATCH)
            phases = [watch(visit, daemon, link.cable, 5, FAR_ADDRESS)]
            before = crowd.measure(lambda: phases.append(watch(visit, daemon, link.cable, 8, FAR_ADDRESS)))
            link.cable.set(out=NARROW)
            after = crowd.measure(lambda: phases.append(watch(visit, daemon, link.cable, 15, FAR_ADDRESS)))
            link.cable.set(out=WIDE)
        daemon.wait_viewers(0)
        return Neighbours(before, after, max(phase.late_ms for phase in phases))

    judged(measure, notice_nothing, lambda seen: seen.late_ms)
