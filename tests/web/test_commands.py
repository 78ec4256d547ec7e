"""`edgecam status` and `edgecam snapshot` against a running daemon, and the picture's route."""

from __future__ import annotations

import json
from pathlib import Path

from tests.harness import pictures
from tests.harness.daemons import Daemon
from tests.harness.ports import free_port
from tests.harness.processes import run_edgecam


def test_the_snapshot_route_gives_a_jpeg_of_the_present_picture(daemon: Daemon) -> None:
    reply = daemon.get("/api/v1/cameras/front/snapshot.jpg")
    assert (reply.status, reply.headers["content-type"]) == (200, "image/jpeg")
    assert reply.headers["cache-control"] == "no-store"
    picture = pictures.decode(reply.body)
    assert (picture.width, picture.height) == (320, 240)
    assert pictures.contrast(picture) > 20


def test_two_snapshots_show_different_moments(daemon: Daemon) -> None:
    first = pictures.decode(daemon.get("/api/v1/cameras/front/snapshot.jpg").body)
    seen = daemon.camera("front")["units"]
    daemon.wait_units("front", seen + 15)
    second = pictures.decode(daemon.get("/api/v1/cameras/front/snapshot.jpg").body)
    assert pictures.difference(first, second) > 0.001


def test_snapshot_writes_a_jpeg(daemon: Daemon, tmp_path: Path) -> None:
    ended = run_edgecam("snapshot", "front", "--config", daemon.file, "-o", tmp_path / "now.jpg", state_dir=tmp_path)
    assert ended.returncode == 0, ended
    assert pictures.decode((tmp_path / "now.jpg").read_bytes()).width == 320


def test_snapshot_of_an_absent_or_unknown_camera_says_why(daemon: Daemon, tmp_path: Path) -> None:
    for camera, reason in (("ghost", "no-such-device"), ("attic", "cameras here: front, ghost")):
        ended = run_edgecam("snapshot", camera, "--config", daemon.file, "-o", tmp_path / "no.jpg", state_dir=tmp_path)
        assert ended.returncode == 1
        assert reason in ended.stderr
        assert len(ended.stderr.splitlines()) == 1
        assert not (tmp_path / "no.jpg").exists()


def test_status_exits_0_when_ready(healthy: Daemon, tmp_path: Path) -> None:
    ended = run_edgecam("status", "--config", healthy.file, state_dir=tmp_path)
    assert ended.returncode == 0, ended
    assert ": ready (edgecam " in ended.stdout
    assert "camera front: running, 320x240" in ended.stdout


def test_status_exits_1_when_not_ready_and_names_the_reason(daemon: Daemon, tmp_path: Path) -> None:
    ended = run_edgecam("status", "--config", daemon.file, state_dir=tmp_path)
    assert ended.returncode == 1
    assert "NOT READY" in ended.stdout
    assert "camera-absent" in ended.stdout
    assert not ended.stderr


def test_status_for_programs_is_the_whole_document(daemon: Daemon, tmp_path: Path) -> None:
    ended = run_edgecam("status", "--json", "--config", daemon.file, state_dir=tmp_path)
    assert json.loads(ended.stdout).keys() == daemon.status().keys()


def test_a_daemon_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    file = tmp_path / "elsewhere.toml"
    file.write_text(f'[web]\nlisten = "127.0.0.1:{free_port()}"\n[camera.front]\nsource = "test"\n')
    for command in (("status",), ("snapshot", "front", "-o", "x.jpg")):
        ended = run_edgecam(*command, "--config", file, state_dir=tmp_path)
        assert ended.returncode == 1
        assert "no edgecam daemon answers" in ended.stderr
        assert len(ended.stderr.splitlines()) == 1
