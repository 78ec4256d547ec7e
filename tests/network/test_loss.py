"""Packets that get lost by chance are sent again in time."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.browser import Browser
from tests.network.cable import CAMERA_ADDRESS, FAR_ADDRESS, Impaired, impaired_link
from tests.network.far import WATCH, Phase, judged, watch
from tests.network.hosts import RemoteDaemon, browser_on
from tests.network.test_shaping import busy_camera

pytestmark = pytest.mark.alone

SECONDS = 20


@pytest.fixture(scope="module")
def link() -> Iterator[Impaired]:
    with impaired_link() as made:
        yield made


@pytest.fixture(scope="module")
def far(link: Impaired) -> Iterator[Browser]:
    """Chromium behind the cable."""
    with browser_on(link.far) as browser:
        yield browser


@dataclass(frozen=True, slots=True)
class Seen:
    phase: Phase
    units: int  # that the daemon has sent
    lost: int  # packets, on the cable


def plays_on(seen: Seen) -> None:
    phase = seen.phase
    available = [look.viewer["available_bps"] for look in phase.looks if look.viewer]
    print(
        f"{phase.decoded} of {seen.units} decoded, longest gap {phase.longest_gap:.2f} s, "
        f"{seen.lost} packets lost, available {min(available)}"
    )
    assert seen.lost > 50, "nothing was lost: nothing was tested"
    assert phase.decoded >= 0.99 * seen.units - 2  # the last ones are still on their way
    assert phase.longest_gap < 1.0
    assert statistics.median(available) > 1_500_000


@pytest.mark.timeout(300)
@pytest.mark.parametrize("queue_ms", [0, 100])
def test_one_packet_in_twenty_lost_at_40_ms_round_trip(
    link: Impaired, far: Browser, tmp_path: Path, queue_ms: int
) -> None:
    wire = {"delay_ms": 20, "loss": 0.05, "rate_kbps": 8000, "queue_ms": queue_ms}
    with RemoteDaemon(link.camera, {"camera": {"front": busy_camera()}}, tmp_path / "daemon") as daemon:
        daemon.wait_ready()

        def measure() -> Seen:
            link.cable.set(out={**wire, "loss": 0}, back={"delay_ms": 20})
            with far.visit(daemon.link(CAMERA_ADDRESS, "/view/front")) as visit:
                visit.wait_playing()
                visit.page.evaluate(WATCH)
                link.cable.set(out=wire)
                lost, _ = link.cable.read()
                phase = watch(visit, daemon, link.cable, SECONDS, FAR_ADDRESS)
                lost_now, _ = link.cable.read()
                link.cable.set(out={"loss": 0})
            sent = [look.viewer["sent_units"] for look in phase.looks]
            return Seen(phase, sent[-1] - sent[0], lost_now.lost - lost.lost)

        judged(measure, plays_on, lambda seen: seen.phase.late_ms)
        daemon.assert_quiet()
