"""`edgecam status` and `edgecam snapshot` against a running daemon, and the picture's route."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import pictures
from tests.harness.daemons import Daemon
from tests.harness.ports import free_port
from tests.harness.processes import Edgecam, run_edgecam
from tests.harness.waiting import until
from tests.harness.web import request


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


def test_status_shows_what_encoding_costs(healthy: Daemon, tmp_path: Path) -> None:
    until(lambda: healthy.camera("front")["encode_ms"], within=10, what="the first report of the encoder")
    ended = run_edgecam("status", "--config", healthy.file, state_dir=tmp_path)
    assert re.search(r"\(\w+, \d+\.\d ms per frame\), 0/16 viewers", ended.stdout), ended.stdout


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


# A daemon under systemd, which keeps its generated token in $STATE_DIRECTORY; the person's shell has another one.


class Service:
    """`edgecam run` on every address with a configuration that names no state directory."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.file = directory / "edgecam.toml"
        self.state = directory / "state"
        self.home = directory / "home"
        self.home.mkdir()
        self.file.write_text(
            f'[log]\nformat = "json"\n[web]\nlisten = ":{self.port}"\n[camera.front]\nsource = "test"\nquality = "low"\n'
        )
        self.process = Edgecam(["run", "--config", self.file], directory, {"STATE_DIRECTORY": str(self.state)})

    def answers(self) -> bool:
        try:
            return request(self.port, "GET", "/healthz").status == 200
        except OSError:
            return False

    @property
    def token(self) -> str:
        return (self.state / "web-token").read_text().strip()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = Service(tmp_path_factory.mktemp("service"))
    with running.process:
        until(running.answers, within=25, what="an answer")
        yield running


def test_status_without_the_services_token_sends_none_makes_none_and_says_what_to_do(service: Service) -> None:
    for _ in range(12):  # more than the wrong tokens that an address may send
        ended = run_edgecam("status", "--config", service.file, state_dir=service.home)
        assert ended.returncode == 78
        (line,) = ended.stderr.splitlines()
        assert "no token" in line
        assert "run this as root or as the service's user, or pass --set web.token=" in line
    assert not list(service.home.rglob("*token*"))
    right = {"Authorization": f"Bearer {service.token}"}
    assert request(service.port, "GET", "/readyz", headers=right).status in {200, 503}


def test_status_finds_the_services_token_in_its_state_directory(service: Service) -> None:
    found = run_edgecam("status", "--config", service.file, "--set", f"state_dir={service.state}", state_dir=service.home)
    given = run_edgecam("status", "--config", service.file, "--set", f"web.token={service.token}", state_dir=service.home)
    for ended in (found, given):
        assert "camera front:" in ended.stdout, ended


def test_a_token_that_is_not_the_daemons_is_named_in_one_line(service: Service, tmp_path: Path) -> None:
    (tmp_path / "web-token").write_text("x" * 32)
    ended = run_edgecam("status", "--config", service.file, "--set", f"state_dir={tmp_path}", state_dir=service.home)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert f"does not accept the token in {tmp_path}/web-token" in line


def test_status_link_prints_links_that_open_the_page(service: Service) -> None:
    options = ("--config", service.file, "--set", f"state_dir={service.state}")
    ended = run_edgecam("status", "--link", *options, state_dir=service.home)
    assert ended.returncode == 0, ended
    first = ended.stdout.splitlines()[0]
    assert first == f"http://localhost:{service.port}/?token={service.token}"
    assert request(service.port, "GET", first.partition(str(service.port))[2]).status == 303


def test_status_link_needs_no_token_on_loopback(healthy: Daemon, tmp_path: Path) -> None:
    ended = run_edgecam("status", "--link", "--config", healthy.file, state_dir=tmp_path)
    assert (ended.returncode, ended.stdout) == (0, f"{healthy.url}/\n")
