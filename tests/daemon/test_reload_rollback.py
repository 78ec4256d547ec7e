"""A change that makes health worse is taken back, and a start that nobody attends goes on with what was good."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from tests.daemon.reloading import WITHIN, Follower, Reloadable, merged
from tests.daemon.test_service import NotifySocket
from tests.harness.daemons import Server
from tests.harness.ports import free_port
from tests.harness.processes import run_edgecam
from tests.harness.waiting import until

SMALL = {"source": "test", "width": 320, "height": 180, "fps": 10}
ABSENT = {"source": "v4l2", "device": "/dev/no-such-camera"}
TRIAL = 3  # seconds


def config(**more: Any) -> dict[str, Any]:
    return merged({"camera": {"front": SMALL, "side": SMALL}, "reload": {"trial": TRIAL}}, more)


def wait_verdict(daemon: Reloadable, verdict: str) -> dict[str, Any]:
    until(
        lambda: daemon.configuration["verdict"] == verdict,
        within=TRIAL + WITHIN,
        what=f"the configuration {verdict}",
        explain=lambda: daemon.status()["summary"],
    )
    return daemon.configuration


def metric(daemon: Reloadable, name: str) -> float:
    (line,) = [line for line in daemon.get("/metrics").text.splitlines() if line.startswith(name)]
    return float(line.rpartition(" ")[2])


def remembered(daemon: Reloadable) -> Path:
    return daemon.state_dir / "last-good.toml"


def test_a_camera_that_breaks_by_a_change_comes_back_and_nothing_that_was_locked_opens_again(tmp_path: Path) -> None:
    with Reloadable(config(), tmp_path) as daemon:
        daemon.wait_ready()
        good = wait_verdict(daemon, "good")
        with Follower(daemon.url, "side") as other:
            locks = {"camera": {"front": {**ABSENT, "privacy_file": str(tmp_path / "private")}}, "web": {"token": "locked-door"}}
            daemon.reload(locks, token="locked-door")
            daemon.wait_camera("front", condition="waiting", code="camera-absent")
            said = wait_verdict(daemon, "rolled back")
            assert "/dev/no-such-camera does not exist" in said["problem"]
            assert (said["sha256"], said["rollbacks"]) == (good["sha256"], 1)
            daemon.wait_camera("front", condition="running", source="test picture")
            status = daemon.status()
            assert status["ready"]
            assert "config-rolled-back" in status["summary"]
            assert daemon.request("GET", "/readyz", headers={"Authorization": "Bearer nothing"}).status == 401
            other.wait_frames(5, within=10)
            other.assert_unbroken()
        (tmp_path / "private").touch()
        daemon.wait_camera("front", condition="resting", code="private")
        (tmp_path / "private").unlink()
        daemon.wait_camera("front", condition="running")
        (logged,) = daemon.logged("config.rolled_back")
        assert "camera.front" in logged["worse"][0]
        assert 'camera.front.source "v4l2" → "test": the camera is opened anew; its viewers stay' in logged["changes"]
        assert metric(daemon, "edgecam_config_rolled_back") == 1
        assert metric(daemon, 'edgecam_config_reloads_total{result="rolled-back"}') == 1
        assert "no-such-camera" in daemon.file.read_text()  # what people write is theirs
        # Mended, and asked for again: it holds.
        daemon.reload({"camera": {"front": {"source": "test", "title": "Mended"}}})
        wait_verdict(daemon, "good")
        assert daemon.camera("front")["title"] == "Mended"
        assert metric(daemon, "edgecam_config_current") == 1


def test_a_camera_that_is_new_and_absent_is_no_reason_to_go_back(tmp_path: Path) -> None:
    with Reloadable(config(), tmp_path) as daemon:
        daemon.wait_ready()
        wait_verdict(daemon, "good")
        daemon.reload({"camera": {"yard": ABSENT, "side": None}})
        daemon.wait_camera("yard", condition="waiting")
        wait_verdict(daemon, "good")
        assert {camera["name"] for camera in daemon.status()["cameras"]} == {"front", "yard"}
        assert not daemon.logged("config.rolled_back")


def test_a_server_that_cannot_be_reached_any_more_is_left_for_the_one_before(tmp_path: Path) -> None:
    with Server({}, tmp_path / "server") as server:
        cameras = {"camera": {"side": None}, "signaling": {"home": {"url": server.socket_url}}}
        with Reloadable(config(**cameras), tmp_path) as daemon:
            daemon.wait_ready()
            server.wait_camera("front")
            wait_verdict(daemon, "good")
            with Follower(daemon.url, "front") as follower:
                daemon.reload({"signaling": {"home": {"url": f"ws://127.0.0.1:{free_port()}/ws"}}})
                wait_verdict(daemon, "rolled back")
                server.wait_camera("front")
                follower.wait_frames(5, within=10)
                follower.assert_unbroken()
            assert daemon.camera("front")["restarts"] == 0


def test_a_restart_with_a_change_that_makes_health_worse_is_taken_back_too(tmp_path: Path) -> None:
    with Reloadable(config(), tmp_path) as daemon:
        daemon.wait_ready()
        good = wait_verdict(daemon, "good")
        daemon.terminate(within=8)
        lock = tmp_path / "private"
        daemon.rewrite({"camera": {"front": {**ABSENT, "privacy_file": str(lock)}}})
        daemon.restart()
        assert wait_verdict(daemon, "rolled back")["sha256"] == good["sha256"]
        daemon.wait_camera("front", condition="running")
        # It dies, and nobody is there: what was no good is not tried again.
        daemon.kill()
        daemon.restart()
        daemon.wait_ready()
        said = daemon.configuration
        assert (said["verdict"], said["sha256"]) == ("rolled back", good["sha256"])
        assert "it made health worse before" in said["problem"]
        lock.touch()  # that was in the file that was no good: what it locks stays locked
        daemon.wait_camera("front", code="private")
        lock.unlink()
        # Somebody stops and starts it: that somebody may have mended what was wrong outside.
        daemon.terminate(within=8)
        daemon.restart()
        assert daemon.configuration["verdict"] == "on trial"


def test_a_broken_file_ends_an_attended_start_and_not_an_unattended_one(tmp_path: Path) -> None:
    with Reloadable(config(), tmp_path) as daemon:
        broken = daemon.file.read_text() + "[camera.front]\n"
        daemon.file.write_text(broken)
        first = run_edgecam("run", "--config", daemon.file, state_dir=tmp_path)
        assert first.returncode == 78  # nothing was ever good
        daemon.file.write_text(broken.removesuffix("[camera.front]\n"))
        daemon.wait_ready()
        good = wait_verdict(daemon, "good")
        daemon.file.write_text(broken)
        daemon.terminate(within=8)
        attended = run_edgecam("run", "--config", daemon.file, state_dir=tmp_path)
        assert attended.returncode == 78
        assert "not valid TOML" in attended.stderr
        # The machine is booted: what the last run left behind names another boot.
        facts = tmp_path / "last-good.json"
        facts.write_text(json.dumps({**json.loads(facts.read_text()), "boot": "another"}))
        daemon.restart()
        daemon.wait_ready()
        said = daemon.configuration
        assert (said["verdict"], said["sha256"]) == ("rolled back", good["sha256"])
        assert "not valid TOML" in said["problem"]
        assert daemon.logged("config.fallback")
        assert "config-rolled-back" in daemon.status()["summary"]
        # Whoever comes to mend it reloads, as always.
        daemon.file.write_text(broken.removesuffix("[camera.front]\n"))
        daemon.reload({"camera": {"front": {"title": "Mended"}}})
        assert wait_verdict(daemon, "good")["problem"] == ""


def test_a_listener_that_cannot_be_opened_does_not_cost_the_pictures(tmp_path: Path) -> None:
    with Server({}, tmp_path / "server") as other, Reloadable(config(), tmp_path) as daemon:
        daemon.wait_ready()
        wait_verdict(daemon, "good")
        daemon.reload({"web": {"listen": f"127.0.0.1:{other.port}"}})
        wait_verdict(daemon, "good")
        daemon.terminate(within=8)  # what has not been tried is not known to be good
        daemon.restart()
        daemon.wait_ready()
        assert "port-busy" in daemon.configuration["problem"] or "listen" in daemon.configuration["problem"]
        daemon.kill()
        fresh = tmp_path / "fresh"
        fresh.mkdir()
        alone = run_edgecam("run", "--config", daemon.file, "--set", f"state_dir={fresh}", state_dir=fresh)
        assert alone.returncode == 1  # without anything to go back to


def test_the_copy_is_the_file_and_nothing_that_came_from_elsewhere(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "web.token").write_text("from-a-credential\n")
    env = {"CREDENTIALS_DIRECTORY": str(credentials), "EDGECAM_CAMERA__FRONT__TITLE": "From the environment"}
    with Reloadable(config(), tmp_path, env=env) as daemon:
        daemon.token = "from-a-credential"
        daemon.wait_ready()
        wait_verdict(daemon, "good")
        copy = remembered(daemon)
        assert copy.read_bytes() == daemon.file.read_bytes()
        for kept in (copy, copy.with_suffix(".json")):
            assert stat.S_IMODE(kept.stat().st_mode) == 0o600
            assert "from-a-credential" not in kept.read_text()
        # Credentials are read again too.
        (credentials / "web.token").write_text("another-credential\n")
        assert daemon.reload({}, token="another-credential") == ["web.token another secret: in place"]
        assert daemon.camera("front")["title"] == "From the environment"
        assert not [line for line in daemon.lines if "-credential" in line]


def test_systemd_is_told_of_each_reload_and_of_its_end(tmp_path: Path) -> None:
    notify = NotifySocket(tmp_path / "notify")
    try:
        with Reloadable(config(camera={"side": None}), tmp_path, env={"NOTIFY_SOCKET": str(notify.path)}) as daemon:
            notify.wait_for("READY=1", WITHIN)
            right = daemon.file.read_text()
            for text in (right + "\n# the same", right + "[", right):
                notify.lines.clear()
                daemon.file.write_text(text)
                daemon.hang_up()
                notify.wait_for("READY=1", WITHIN)
                told = [line for line in notify.lines if not line.startswith(("STATUS", "WATCHDOG"))]
                assert told[0] == "RELOADING=1"
                assert told[1].startswith("MONOTONIC_USEC=")
                assert told[2:] == ["READY=1"]
                while daemon.configuration["problem"] and not any("configuration: not reloaded" in line for line in notify.lines):
                    notify.wait_for("STATUS", WITHIN)
    finally:
        notify.close()


def test_what_a_reload_would_change_can_be_asked_for_before_and_status_tells_what_runs(tmp_path: Path) -> None:
    with Reloadable(config(camera={"side": None}), tmp_path) as daemon:
        wait_verdict(daemon, "good")

        def told(*arguments: str) -> tuple[int, str, str]:
            ended = run_edgecam(*arguments, state_dir=tmp_path)
            return ended.returncode, ended.stdout, ended.stderr

        asked = ("check-config", str(daemon.file), "--plan")
        assert told(*asked) == (0, "nothing would change\n", "")
        daemon.rewrite({"camera": {"front": {"title": "Door"}}, "web": {"listen": "127.0.0.1:1", "token": "another-door"}})
        code, shown, said = told(*asked)
        assert (code, said) == (0, "")
        assert shown.splitlines() == [
            f'web.listen "127.0.0.1:{daemon.port}" → "127.0.0.1:1": needs a restart',
            'web.token "" → "********": in place',
            'camera.front.title "" → "Door": in place',
        ]
        daemon.rewrite({"web": {"listen": f"127.0.0.1:{daemon.port}", "token": None}})
        assert daemon.camera("front")["title"] == "front"  # asking changes nothing
        right = daemon.file.read_text()
        daemon.refuse(right + "[")
        assert told(*asked)[0] == 78
        code, shown, said = told("status", "--config", str(daemon.file))
        assert code == 0
        assert f"configuration {daemon.file} ({daemon.configuration['sha256'][:12]}): good, since " in shown
        assert "    ! " in shown
        assert "not valid TOML" in said
