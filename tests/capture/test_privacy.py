"""The privacy switch on a real daemon: by API, command line and file; latched; closed in doubt."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgecam.capture.process import CaptureProcess
from edgecam.errors import FatalError
from edgecam.health import Condition, HealthBoard
from edgecam.media.pipeline import Pipeline
from edgecam.privacy import PrivacySwitch, never_private
from edgecam.privacy.latch import Latch, Latched, LatchUnreadableError
from edgecam.settings import CameraSettings
from tests.capture.watching import child_pids, ends
from tests.fakes.v4l2 import FakeV4l2
from tests.harness.daemons import Daemon
from tests.harness.holders import holders
from tests.harness.processes import PACKAGE_HOME, run_edgecam
from tests.harness.waiting import until
from tests.harness.web import Reply
from tests.peers.background import Watching

JSON = {"Content-Type": "application/json"}
OFFER = {"Content-Type": "application/sdp"}
FAKES = Path(__file__).parents[1] / "fakes" / "gpio"


@pytest.fixture
def config(raw_camera: FakeV4l2, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "run").mkdir()
    camera = {
        "device": str(raw_camera.device),
        "quality": "low",
        "input_format": "yuyv",
        "privacy_file": str(tmp_path / "run" / "private"),
    }
    return {"camera": {"front": camera}}


@pytest.fixture
def daemon(config: dict[str, Any], raw_camera: FakeV4l2, tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(config, tmp_path / "state", env=raw_camera.env) as daemon:
        daemon.wait_camera("front", condition="running")
        yield daemon
        daemon.assert_quiet()


def switch(daemon: Daemon, *, private: bool) -> Reply:
    return daemon.request("POST", "/api/v1/cameras/front/privacy", json.dumps({"private": private}), JSON)


def assert_closed(daemon: Daemon, device: Path) -> None:
    """Nobody has it, nobody gets anything of it, and nothing is wrong with that."""
    assert holders(device) == set()
    for reply in (
        daemon.get("/api/v1/cameras/front/snapshot.jpg"),
        daemon.request("POST", "/whep/front", "v=0", OFFER),
    ):
        assert (reply.status, reply.json["code"]) == (503, "camera-private")
        assert int(reply.headers["retry-after"]) > 0
    assert daemon.get("/readyz").status == 200
    assert 'edgecam_camera_private{camera="front"} 1' in daemon.get("/metrics").text
    camera = daemon.camera("front")
    assert (camera["condition"], camera["code"], camera["device"]) == ("resting", "private", "closed")


def test_going_private_closes_the_device_at_once_and_sends_everybody_away(raw_camera: FakeV4l2, daemon: Daemon) -> None:
    with Watching(daemon.url, "front") as viewer:
        asked = time.monotonic()
        reply = switch(daemon, private=True)
        assert time.monotonic() - asked < 1.0
        assert holders(raw_camera.device) == set(), "closed when the call returns"
        assert reply.json["device"] == "closed"
        assert (reply.json["private"], reply.json["by"]) == (True, ["operator"])
        until(lambda: viewer.state in {"closed", "failed"}, within=5, what="the viewer's end")
    daemon.wait_logged("viewer.left", reason="camera 'front' is private")
    assert daemon.capture_processes == []
    assert_closed(daemon, raw_camera.device)
    assert switch(daemon, private=False).json["private"] is False
    daemon.wait_camera("front", condition="running", within=10)
    with Watching(daemon.url, "front") as viewer:
        viewer.wait_frames(3, within=10)


def test_what_was_set_holds_across_a_restart_and_the_device_is_never_opened(
    raw_camera: FakeV4l2, daemon: Daemon, tmp_path: Path
) -> None:
    ended = run_edgecam("privacy", "front", "on", "--config", daemon.file, state_dir=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "operator: switched on by cli" in ended.stdout
    since = daemon.camera("front")["privacy"]["since"]
    daemon.kill()
    daemon.end()
    daemon.start()
    daemon.wait_camera("front", condition="resting", code="private")
    assert_closed(daemon, raw_camera.device)
    assert daemon.camera("front")["privacy"]["since"] == since, "since it was set, not since the restart"
    assert daemon.camera("front")["restarts"] == daemon.camera("front")["units"] == 0
    status = run_edgecam("privacy", "front", "status", "--json", "--config", daemon.file, state_dir=tmp_path)
    assert json.loads(status.stdout)["private"] is True
    assert run_edgecam("privacy", "front", "off", "--config", daemon.file, state_dir=tmp_path).returncode == 0
    daemon.wait_camera("front", condition="running", within=10)
    ended = run_edgecam("privacy", "back", "on", "--config", daemon.file, state_dir=tmp_path)
    assert (ended.returncode, "cameras here: front" in ended.stderr) == (1, True)


def test_a_file_makes_it_private_and_so_does_a_directory_that_cannot_be_read(
    raw_camera: FakeV4l2, daemon: Daemon, tmp_path: Path
) -> None:
    file = tmp_path / "run" / "private"
    file.touch()
    appeared = time.monotonic()
    until(lambda: not holders(raw_camera.device), within=5, what="a closed device")
    assert time.monotonic() - appeared < 1.5  # half a second until it is seen, one on a busy machine
    daemon.wait_camera("front", code="private", within=3)
    assert_closed(daemon, raw_camera.device)
    assert switch(daemon, private=True).json["by"] == ["operator", "file"]
    ended = run_edgecam("privacy", "front", "off", "--config", daemon.file, state_dir=tmp_path)
    assert ended.returncode == 1, "the file still says so"
    assert f"file: {file} exists" in ended.stdout
    file.unlink()
    daemon.wait_camera("front", condition="running", within=10)
    file.parent.rename(tmp_path / "away")
    daemon.wait_camera("front", code="private", within=5)
    assert "cannot be read" in daemon.camera("front")["detail"]
    assert_closed(daemon, raw_camera.device)
    (tmp_path / "away").rename(file.parent)
    daemon.wait_camera("front", condition="running", within=10)


DAMAGE = ("", "{", "[]", "null", '{"private": 0, "since": 1, "by": "api"}', '{"private": false}', "[" * 4000, " " * 5000 + "{}")


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_damaged_is_no_state(damage: str, tmp_path: Path) -> None:
    latch = Latch(tmp_path, "front")
    assert latch.read() is None, "nothing was ever set"
    latch.set(Latched(private=False, since=1.5, by="api"))
    assert latch.read() == Latched(private=False, since=1.5, by="api")
    latch.path.write_text(damage)
    with pytest.raises(LatchUnreadableError, match="damaged"):
        latch.read()
    switch = PrivacySwitch("front", latch)
    assert switch.private, "before anybody has looked"
    switch.begin()
    assert list(switch.reasons) == ["operator"]


def test_a_state_that_cannot_be_read_is_private(config: dict[str, Any], raw_camera: FakeV4l2, tmp_path: Path) -> None:
    state = tmp_path / "state" / "privacy" / "front.json"
    state.parent.mkdir(parents=True)
    state.write_text("{")
    with Daemon(config, tmp_path / "state", env=raw_camera.env) as daemon:
        assert daemon.camera("front")["code"] == "private"
        assert "front.json is damaged" in daemon.camera("front")["detail"]
        assert_closed(daemon, raw_camera.device)
        assert switch(daemon, private=False).status == 200
        daemon.wait_camera("front", condition="running", within=10)
        assert json.loads(state.read_text())["private"] is False


def test_what_cannot_be_kept_is_private_now_and_never_public(raw_camera: FakeV4l2, daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "state" / "privacy").touch()  # where the directory should be
    reply = switch(daemon, private=True)
    assert (reply.status, reply.json["code"]) == (507, "privacy-not-kept")
    assert "would not be after a restart" in reply.json["title"]
    daemon.wait_camera("front", code="private", within=3)
    assert_closed(daemon, raw_camera.device)
    reply = switch(daemon, private=False)
    assert (reply.status, "stays private" in reply.json["title"]) == (507, True)
    assert_closed(daemon, raw_camera.device)
    (tmp_path / "state" / "privacy").unlink()
    assert switch(daemon, private=False).status == 200
    daemon.wait_camera("front", condition="running", within=10)


def test_a_switch_that_takes_the_place_of_another_keeps_what_no_disk_could(tmp_path: Path) -> None:
    """A camera that is made anew by a reload."""
    nowhere = Path("/proc/self")  # nothing is there, and nothing can be written

    async def replaced() -> None:
        before, after = PrivacySwitch("front", Latch(nowhere, "front")), PrivacySwitch("front", Latch(nowhere, "front"))
        before.begin()
        assert not before.private
        with pytest.raises(FatalError, match="would not be after a restart"):
            await before.set(private=True, by="api")
        after.begin(before)
        assert after.as_dict()["reasons"] == ["switched on by api"]

    asyncio.run(replaced())


def test_whoever_cannot_say_says_private() -> None:
    class Broken:
        kind = "file"

        def look(self) -> str | None:
            raise PermissionError("nobody may look")

    switched = PrivacySwitch("front", None, [Broken()])
    switched.begin()
    assert switched.private
    assert "nobody may look" in switched.detail


def test_a_broken_camera_that_is_made_private_is_private_and_broken_again_afterwards(raw_camera: FakeV4l2, daemon: Daemon) -> None:
    raw_camera.set("eio")
    daemon.wait_camera("front", condition="waiting", code="camera-io", within=10)
    assert switch(daemon, private=True).json["device"] == "closed"
    assert_closed(daemon, raw_camera.device)
    assert switch(daemon, private=False).status == 200
    daemon.wait_camera("front", condition="waiting", code="camera-io", within=10)
    raw_camera.set("ok")
    daemon.wait_camera("front", condition="running", within=15)


def test_what_says_nothing_about_privacy_changes_nothing(daemon: Daemon) -> None:
    long = json.dumps({"private": True, "more": "x" * 2000})
    for body in ("", "true", "[]", "{}", '{"private": 1}', '{"private": "off"}', "[" * 900, long):
        reply = daemon.request("POST", "/api/v1/cameras/front/privacy", body, JSON)
        assert (reply.status, reply.json["code"]) == (400, "privacy-malformed"), body[:40]
    assert daemon.camera("front")["private"] is False


def test_doctor_does_not_open_a_private_camera(config: dict[str, Any], raw_camera: FakeV4l2, tmp_path: Path) -> None:
    config["camera"]["front"]["device"] = "/dev/null"  # opening it would be a problem
    config["state_dir"] = str(tmp_path / "state")
    daemon = Daemon(config, tmp_path / "state")
    (tmp_path / "run" / "private").touch()
    ended = run_edgecam("doctor", "--json", "--config", daemon.file, state_dir=tmp_path)
    found = {f["step"]: f for f in json.loads(ended.stdout)["findings"] if f["subject"] == "front"}
    assert found["camera"]["outcome"] == found["encoder"]["outcome"] == "skipped"
    assert "exists" in found["camera"]["detail"]


def test_a_gpio_line_makes_it_private_and_so_does_one_that_cannot_be_read(
    config: dict[str, Any], raw_camera: FakeV4l2, tmp_path: Path
) -> None:
    """With a fake of libgpiod's Python bindings: what real ones do was not seen."""
    line = tmp_path / "line"
    line.write_text("1")
    config["camera"]["front"]["privacy_gpio"] = "gpiochip0:17"
    env = {**raw_camera.env, "PYTHONPATH": f"{PACKAGE_HOME}:{FAKES}", "FAKE_GPIO_LINE": str(line)}
    with Daemon(config, tmp_path / "state", env=env) as daemon:
        daemon.wait_camera("front", code="private")
        assert daemon.camera("front")["privacy"]["reasons"] == ["GPIO gpiochip0 line 17"]
        line.write_text("0")
        daemon.wait_camera("front", condition="running", within=10)
        line.unlink()
        daemon.wait_camera("front", code="private", within=5)
        assert_closed(daemon, raw_camera.device)
        assert daemon.camera("front")["privacy"]["reasons"] == ["/dev/gpiochip0 line 17 cannot be read: No such device"]


def test_without_libgpiod_a_gpio_switch_keeps_the_camera_closed(
    config: dict[str, Any], raw_camera: FakeV4l2, tmp_path: Path
) -> None:
    config["camera"]["front"]["privacy_gpio"] = "gpiochip0:17"
    with Daemon(config, tmp_path / "state", env=raw_camera.env) as daemon:
        assert "install python3-libgpiod" in daemon.camera("front")["detail"]
        assert_closed(daemon, raw_camera.device)


def test_a_driver_that_does_not_let_go_is_not_said_to_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped process that SIGKILL is kept from stands for one in state D."""

    async def main() -> None:
        settings = CameraSettings(source="test", quality="low")
        privacy, board, changed = never_private("front"), HealthBoard(), asyncio.Event()
        board.watch(changed.set)
        component = board.component("camera.front")

        async def says(condition: Condition, code: str) -> None:
            async with asyncio.timeout(10):
                while (component.state.condition, component.state.code) != (condition, code):
                    changed.clear()
                    await changed.wait()

        pipeline = Pipeline("front", settings, CaptureProcess("front", settings), component, privacy)
        running = asyncio.create_task(pipeline.run())
        await says(Condition.RUNNING, "")
        (pid,) = child_pids()
        try:
            with monkeypatch.context() as kernel:
                kernel.setattr(os, "killpg", lambda pid, _signal: os.kill(pid, signal.SIGSTOP))
                os.kill(pid, signal.SIGSTOP)
                until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", within=5, what="a stop")
                await privacy.set(private=True, by="api")
                await says(Condition.DEGRADED, "private-held")
            assert str(pipeline.shutter.device) == "held"
            assert str(pid) in component.state.detail
            assert pipeline.last_keyframe is None
        finally:
            os.kill(pid, signal.SIGKILL)  # the driver lets go
        assert ends(pid, timeout=5)
        await says(Condition.RESTING, "private")
        assert str(pipeline.shutter.device) == "closed"
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(main())
