"""How far the daemon goes for a camera that gives no picture, and where it stops."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import time
from pathlib import Path

import pytest

from edgecam.errors import CaptureError
from edgecam.health import Ladder, LadderMemory
from edgecam.health import ladder as ladder_module
from edgecam.health.ladder import ExhaustedError, RebootError, Surroundings
from edgecam.settings.health import HealthSettings
from tests.fakes.v4l2 import FakeV4l2, build_fake_v4l2
from tests.harness.daemons import Daemon
from tests.harness.processes import HOME
from tests.harness.servicemanager import Service
from tests.peers.background import Watching

STALLED = CaptureError("no picture", code="camera-stalled")
IO = CaptureError("EIO", code="camera-io")
ABSENT = CaptureError("not there", code="camera-absent")


class Clock:
    """A monotonic and a wall clock that go when told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.wall = 1.8e9
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "time", lambda: self.wall)

    def pass_(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds


class Camera:
    """A ladder of a camera, started by systemd; `boots` of the daemon share what is remembered."""

    def __init__(self, clock: Clock, directory: Path, **settings: object) -> None:
        self.clock = clock
        self.units = 0
        self.others_watched = False
        around = Surroundings(True, lambda: self.units, lambda: self.others_watched)
        self.ladder = Ladder("front", HealthSettings.model_validate(settings), LadderMemory(directory), around)

    def fails_for(self, seconds: float, error: CaptureError = STALLED) -> None:
        """Every ten seconds."""
        for _ in range(int(seconds / 10)):
            self.ladder.failed(error)
            self.clock.pass_(10)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def steps(camera: Camera) -> dict[str, int]:
    return {str(step): count for step, count in camera.ladder.steps.items()}


def test_reopening_and_restarting_are_counted_and_become_rarer(clock: Clock, tmp_path: Path) -> None:
    camera = Camera(clock, tmp_path)
    assert [camera.ladder.failed(IO) for _ in range(9)] == [0.0] * 9
    assert camera.ladder.failed(STALLED) == ladder_module.PATIENCE
    assert steps(camera) == {"reopen": 9, "restart": 1, "exit": 0, "reboot": 0}
    camera.units += 1
    assert camera.ladder.failed(STALLED) == 0.0, "a picture, and all is forgiven"


def test_a_camera_that_is_not_there_never_leads_to_an_exit(clock: Clock, tmp_path: Path) -> None:
    camera = Camera(clock, tmp_path)
    camera.fails_for(86_400, ABSENT)
    assert steps(camera) == {"reopen": 0, "restart": 0, "exit": 0, "reboot": 0}
    assert camera.ladder.next == ""
    camera.fails_for(880)
    camera.ladder.failed(ABSENT)  # it was unplugged: a new camera, a new row
    camera.fails_for(880)


def test_nothing_but_exits_then_a_reboot_then_only_patience(clock: Clock, tmp_path: Path) -> None:
    for boot in (1, 2):
        camera = Camera(clock, tmp_path, exits=2, reboot=True)
        with pytest.raises(ExhaustedError, match="gave no picture in 15 minutes") as caught:
            camera.fails_for(1000)
        assert caught.value.exit_code == 75
        assert steps(camera)["exit"] == boot
    camera = Camera(clock, tmp_path, exits=2, reboot=True)
    camera.ladder.failed(STALLED)
    assert camera.ladder.next.startswith("reboot in 900 s")
    with pytest.raises(RebootError) as asked:
        camera.fails_for(1000)
    assert asked.value.exit_code == 79
    after = Camera(clock, tmp_path, exits=2, reboot=True)
    after.fails_for(50_000)
    assert steps(after)["reboot"] == 1
    assert "reopened for ever" in after.ladder.next
    with pytest.raises(RebootError):  # a day later, once more
        after.fails_for(50_000)


def test_a_clock_that_was_wrong_when_the_machine_rebooted_does_not_forbid_it_for_ever(clock: Clock, tmp_path: Path) -> None:
    memory = LadderMemory(tmp_path)
    clock.wall += 1e9
    memory.rebooted()
    memory.save()
    clock.wall -= 1e9
    again = LadderMemory(tmp_path)
    assert again.since_reboot == 0.0, "not at once either"
    clock.pass_(86_400)
    assert again.since_reboot == 86_400


def test_exits_are_forgotten_once_the_camera_works(clock: Clock, tmp_path: Path) -> None:
    first = Camera(clock, tmp_path, exits=1)
    with pytest.raises(ExhaustedError):
        first.fails_for(1000)
    second = Camera(clock, tmp_path, exits=1)
    second.ladder.failed(STALLED)
    second.units += 1
    clock.pass_(61)
    second.ladder.failed(STALLED)
    assert second.ladder.next.startswith("exit in 900 s")
    assert json.loads((tmp_path / "ladder.json").read_text())["cameras"]["front"]["exits_in_row"] == 0


def test_somebody_who_watches_another_camera_is_not_cut_off(clock: Clock, tmp_path: Path) -> None:
    camera = Camera(clock, tmp_path)
    camera.others_watched = True
    camera.fails_for(10_000)
    assert camera.ladder.next == "exit once nobody watches another camera"
    camera.others_watched = False
    with pytest.raises(ExhaustedError):
        camera.ladder.failed(STALLED)


def test_what_cannot_be_remembered_is_not_done(clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    camera = Camera(clock, tmp_path / "file" / "state")
    camera.fails_for(10_000)
    assert camera.ladder.failed(STALLED) == ladder_module.PATIENCE


@pytest.mark.parametrize("kept", ["", "[]", "{", '{"rebooted": "x", "cameras": [1]}', '{"cameras": {"front": {"exits": -1}}}'])
def test_a_broken_memory_is_none(kept: str, clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "ladder.json").write_text(kept)
    memory = LadderMemory(tmp_path)
    assert memory.count("front", "exits") == 0
    assert memory.since_reboot == float("inf")


# with a real daemon


@pytest.fixture
def device(tmp_path: Path) -> FakeV4l2:
    camera = FakeV4l2(build_fake_v4l2(HOME / ".cache" / "fakes"), tmp_path / "video0")
    camera.set("eio")
    return camera


def configuration(device: FakeV4l2, **health: object) -> dict[str, object]:
    broken = {"source": "v4l2", "device": str(device.device), "width": 640, "height": 480}
    return {"camera": {"front": broken}, "health": {"exit_after": 2, "exits": 1, **health}}


@pytest.mark.timeout(120)
def test_a_daemon_exits_for_systemd_once_asks_for_a_reboot_once_and_then_goes_on_trying(
    device: FakeV4l2, tmp_path: Path
) -> None:
    with Service(configuration(device, reboot=True), tmp_path, 20.0, device.env) as running:
        assert running.wait_restart(1, within=30).why == "exit 75"
        assert running.wait_restart(2, within=30).why == "exit 79"
        camera = running.daemon.wait_camera(within=20, next_escalation="reopened for ever: the exits are used up, or nobody "
                                            "would start the daemon anew")  # fmt: skip
        assert camera["escalations"]["exit"] == 1
        assert camera["escalations"]["reboot"] == 1
        assert camera["escalations"]["reopen"] > 0
        text = running.daemon.get("/metrics").text
        assert 'edgecam_escalations_total{camera="front",step="reboot"} 1' in text
        device.plug()
        running.daemon.wait_ready()
        assert running.daemon.camera()["next_escalation"] in {"", camera["next_escalation"]}
        assert len(running.restarts) == 2
        (said,) = running.daemon.logged("camera.escalated", step="exit")
        assert said["level"] == "error"
        assert any("camera front is there and gave no picture" in line for line in running.daemon.lines)
        deaths = json.loads(running.daemon.get("/api/v1/blackbox/deaths").text)
        assert [name.partition("-")[2] for name in deaths] == ["camera-exhausted.jsonl.gz"] * 2


def test_without_systemd_nobody_would_start_it_anew(device: FakeV4l2, tmp_path: Path) -> None:
    with Daemon(configuration(device, exit_after=0.5), tmp_path, env=device.env) as daemon:
        daemon.wait_camera(within=30, condition="waiting", code="camera-io")
        daemon.wait_logged("component.state", component="camera.front", code="camera-io")
        deadline = time.monotonic() + 25
        while daemon.camera()["escalations"]["reopen"] < 8:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert "reopened for ever" in daemon.camera()["next_escalation"]


def test_a_broken_camera_does_not_take_the_others_viewers_along(device: FakeV4l2, tmp_path: Path) -> None:
    config = configuration(device)
    config["camera"] = {**config["camera"], "yard": {"source": "test", "width": 320, "height": 240, "fps": 15.0}}  # type: ignore[dict-item]
    config["health"] = {"exit_after": 3, "exits": 1}
    with Service(config, tmp_path, 20.0, device.env) as running:
        with Watching(running.daemon.url, "yard") as watching:
            running.daemon.wait_camera("front", within=20, next_escalation="exit once nobody watches another camera")
            deadline = time.monotonic() + 25
            while running.daemon.camera("front")["escalations"]["reopen"] < 8:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            watching.wait_frames(10, within=5)
            assert running.restarts == []
        assert running.wait_restart(1, within=30).why == "exit 75"


def test_the_drop_in_of_the_documentation_reboots_for_79_and_for_nothing_else(tmp_path: Path) -> None:
    page = (HOME / "docs" / "health.md").read_text()
    (line,) = re.findall(r"^ExecStopPost=\+/bin/sh -c '(.*)'$", page, re.MULTILINE)
    called = tmp_path / "called"
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f'#!/bin/sh\necho "$@" >> {called}\n')
    systemctl.chmod(systemctl.stat().st_mode | stat.S_IXUSR)
    script = line.replace("$$", "$")  # systemd's own way to write a dollar sign
    for code in ("0", "1", "75", "78", "ABRT", ""):
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "EXIT_STATUS": code}
        subprocess.run(["/bin/sh", "-c", script], env=environment, check=True)
    assert not called.exists()
    subprocess.run(["/bin/sh", "-c", script], env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "EXIT_STATUS": "79"}, check=True)
    assert called.read_text() == "--no-block reboot\n"
