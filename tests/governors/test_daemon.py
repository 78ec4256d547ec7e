"""A real daemon with sensors of a test, and Chromium that watches: what a governor takes is really taken, and given back."""

from __future__ import annotations

import io
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from edgecam.governors.ledger import FILE
from tests.browser.scenes import picture
from tests.governors.hot import HotDaemon
from tests.governors.machine import Machine
from tests.harness.browser import Browser, Visit, running_browser
from tests.harness.daemons import Daemon
from tests.harness.waiting import until
from tests.harness.web import Reply

HOT, FAIR, COOL = 77.0, 72.0, 50.0  # degrees: of a limit of 75
RECOVER = 2.0  # seconds: a step down each half second, one back each two
PLENTY = 500_000_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    made = Machine(tmp_path_factory.mktemp("machine"))
    made.zone(COOL)
    made.chip("rpi_volt", in0_lcrit_alarm=0)
    made.memory(PLENTY, used=80_000_000, limit=400_000_000)
    return made


@pytest.fixture(scope="module")
def daemon(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HotDaemon]:
    config: dict[str, Any] = {"camera": {"front": picture()}, "governor": {"recover_after": RECOVER}}
    with HotDaemon(machine.root, config, tmp_path_factory.mktemp("daemon")) as running:
        running.wait_ready()
        yield running
        running.assert_quiet()


@pytest.fixture(scope="module")
def visit(daemon: HotDaemon, browser: Browser) -> Iterator[Visit]:
    """Somebody who watches through everything, over one and the same connection."""
    with browser.visit(f"{daemon.url}/view/front") as watching:
        watching.wait_playing()
        watching.mark_connection()
        yield watching
        watching.assert_same_connection()
        assert daemon.camera()["restarts"] == 0, daemon.logged("component.state", component="camera.front")
        assert daemon.status()["viewers_served"] == 1


def governor(daemon: HotDaemon) -> dict[str, Any]:
    found = daemon.status()["governor"]
    assert isinstance(found, dict)
    return found


def wait_step(daemon: HotDaemon, step: int) -> dict[str, Any]:
    return until(
        lambda: found if (found := governor(daemon))["heat"]["step"] == step else None,
        within=40,
        what=f"step {step}",
        explain=lambda: governor(daemon),
    )


def heat_to(daemon: HotDaemon, machine: Machine, step: int) -> dict[str, Any]:
    """Hot until it stands there, then neither hot nor cool, so that it stays."""
    machine.zone(HOT)
    wait_step(daemon, step)
    machine.zone(FAIR)
    found = governor(daemon)
    assert found["heat"]["step"] == step
    return found


def seen_fps(visit: Visit, frames: int) -> float:
    """Pictures a second on the page, over so many."""
    visit.wait_frames(3)
    began, before = time.monotonic(), visit.frames_decoded
    return (visit.wait_frames(frames) - before) / (time.monotonic() - began)


def snapshot_width(daemon: HotDaemon) -> int:
    reply = daemon.get("/api/v1/cameras/front/snapshot.jpg")
    assert reply.status == 200, reply
    with av.open(io.BytesIO(reply.body), "r") as file:
        (shown,) = file.decode(video=0)
    return int(shown.width)


def codes(daemon: HotDaemon) -> set[str]:
    return {component["code"] for component in daemon.status()["components"]}


def test_heat_takes_pictures_first_then_bits_then_size_and_gives_all_back(
    daemon: HotDaemon, machine: Machine, visit: Visit, browser: Browser
) -> None:
    assert seen_fps(visit, 60) > 17
    heat_to(daemon, machine, 1)
    assert 11 < seen_fps(visit, 30) < 17
    heat_to(daemon, machine, 2)
    assert 7 < seen_fps(visit, 20) < 11.5
    before = daemon.camera()
    assert before["target_bps"] > 200_000
    heat_to(daemon, machine, 4)
    until(lambda: daemon.camera()["target_bps"] < 120_000, within=5, what="fewer bits", explain=daemon.camera)
    assert visit.wait_for("document.querySelector('video').videoWidth") == 640, "the size is the last that goes"
    found = heat_to(daemon, machine, 5)
    visit.wait_for("document.querySelector('video').videoWidth === 320")
    assert found["said"] == "10 pictures a second at most, 35% of the bitrate, half the size, because it is too hot"
    assert [rendition["withheld"] for rendition in daemon.camera()["renditions"]] == [True, False]
    until(lambda: "temperature-high" not in codes(daemon), within=5, what="no longer hot")
    assert "limited" in codes(daemon)
    assert daemon.get("/readyz").status == 200
    assert "governor: 10 pictures a second" in daemon.status()["summary"]
    metrics = daemon.get("/metrics").text
    assert 'edgecam_governor_step{cause="heat"} 5' in metrics
    assert "edgecam_temperature_celsius 72.0" in metrics
    assert snapshot_width(daemon) == 320, "a snapshot shows what there is"
    with browser.visit(daemon.url) as page:
        page.wait_for("document.body.innerText.includes('because it is too hot')")
    # Other settings do not begin from nothing.
    changes = daemon.reload({"governor": {"hysteresis": 4.5, "min_free_disk": 0}})
    assert changes[0] == "governor.hysteresis 5 → 4.5: in place"
    until(lambda: "disk" not in {line["name"] for line in daemon.status()["components"]}, within=5, what="no line of the disk")
    assert (governor(daemon)["heat"]["step"], daemon.camera()["renditions"][0]["withheld"]) == (5, True)
    assert len(daemon.logged("governor.step")) == 5
    machine.zone(COOL)
    wait_step(daemon, 0)
    visit.wait_for("document.querySelector('video').videoWidth === 640")
    assert seen_fps(visit, 60) > 17
    steps = daemon.logged("governor.step")
    assert len(steps) == 10, [step["said"] for step in steps]
    assert steps[-1]["said"] == "no limits"
    assert "limited" not in codes(daemon)
    (viewer,) = daemon.status()["viewers"]
    assert viewer["dropped_units"] == 0


def test_undervoltage_is_answered_at_once(daemon: HotDaemon, machine: Machine, visit: Visit) -> None:
    machine.chip("rpi_volt", in0_lcrit_alarm=1)
    found = wait_step(daemon, 2)
    assert found["power"]["undervoltage"] is True
    assert found["said"].endswith("because the power supply is too weak")
    assert "undervoltage" in codes(daemon)
    assert daemon.get("/readyz").status == 200
    assert 7 < seen_fps(visit, 20) < 11.5
    machine.chip("rpi_volt", in0_lcrit_alarm=0)
    wait_step(daemon, 0)


def test_short_of_memory_nobody_new_comes_and_who_watches_goes_on(daemon: HotDaemon, machine: Machine, visit: Visit) -> None:
    machine.memory(PLENTY, used=390_000_000, limit=400_000_000)
    until(lambda: "memory-low" in codes(daemon), within=5, what="memory-low")
    refused = daemon.request("POST", "/whep/front", "v=0\r\n", {"Content-Type": "application/sdp"})
    assert (refused.status, refused.json["code"]) == (503, "memory-low")
    assert refused.headers["retry-after"]
    assert governor(daemon)["limits"]["bitrate"] == 0.6
    visit.wait_frames(10)
    machine.memory(PLENTY, used=80_000_000, limit=400_000_000)
    until(lambda: not {"memory-low", "limited"} & codes(daemon), within=20, what="enough memory", explain=lambda: governor(daemon))
    assert daemon.request("POST", "/whep/front", "v=0\r\n", {"Content-Type": "application/sdp"}).status == 400


def test_what_is_turned_off_takes_nothing_any_more(daemon: HotDaemon, machine: Machine, visit: Visit) -> None:
    heat_to(daemon, machine, 1)
    daemon.reload({"governor": {"thermal": False}})
    until(lambda: "limited" not in codes(daemon), within=5, what="no limits")
    assert not {"temperature", "power"} & {component["name"] for component in daemon.status()["components"]}
    daemon.reload({"governor": {"thermal": True}})
    until(lambda: "temperature" in {component["name"] for component in daemon.status()["components"]}, within=5, what="looked at again")
    assert seen_fps(visit, 30) > 17, "neither hot nor cool is no reason to step down"


def test_a_changed_budget_is_applied_while_it_runs_and_goes_on_where_it_was(tmp_path: Path) -> None:
    config: dict[str, Any] = {"camera": {"front": picture()}, "governor": {"daily_bytes": "500MB"}}
    record = {"day": time.strftime("%Y-%m-%d"), "bytes": 100_000_000, "seconds": 60}
    (tmp_path / FILE).write_text(json.dumps(record))
    with Daemon(config, tmp_path) as daemon:
        daemon.wait_ready()
        until(lambda: daemon.status()["governor"]["budget"], within=5, what="a budget")
        daemon.file.write_text(daemon.file.read_text().replace("500MB", "100MB"))
        daemon.signal(signal.SIGHUP)

        def offered() -> Reply:
            return daemon.request("POST", "/whep/front", "v=0\r\n", {"Content-Type": "application/sdp"})

        until(lambda: offered().json["code"] == "budget-spent", within=10, what="what was sent is more than may be")
        assert daemon.status()["governor"]["budget"]["used_bytes"] == 100_000_000
        daemon.file.write_text(daemon.file.read_text().replace("100MB", "0B"))
        daemon.signal(signal.SIGHUP)
        until(lambda: offered().status == 400, within=10, what="nothing is counted any more")
        assert daemon.status()["governor"]["budget"] is None
        assert "budget" not in {component["name"] for component in daemon.status()["components"]}
        daemon.assert_quiet()
