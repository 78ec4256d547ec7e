"""`edgecam report` on real daemons: one that runs, one that died, one that hangs, and none at all."""

from __future__ import annotations

import json
import os
import signal
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.harness.daemons import Daemon
from tests.harness.processes import run_edgecam
from tests.harness.waiting import until

SECRETS = ("a-web-token-of-the-test", "a-turn-secret-of-the-test", "a-signaling-token")
CONFIG: dict[str, Any] = {
    "camera": {"front": {"source": "test", "width": 320, "height": 240, "fps": 15}},
    "web": {"token": SECRETS[0]},
    "ice": {"servers": [{"urls": ["turn:127.0.0.1:9"], "secret": SECRETS[1]}]},
    "signaling": {"home": {"type": "websocket", "url": f"ws://127.0.0.1:9/?token={SECRETS[2]}", "token": SECRETS[2]}},
}


class Report:
    """An archive, read."""

    def __init__(self, path: Path) -> None:
        with tarfile.open(path) as tar:
            self.files = {
                member.name.partition("/")[2]: file.read().decode() for member in tar if (file := tar.extractfile(member))
            }
        assert path.stat().st_mode & 0o777 == 0o600

    def events(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.files["events.jsonl"].splitlines()]

    def deaths(self) -> dict[str, str]:
        return {name: text for name, text in self.files.items() if name.startswith("deaths/")}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    (tmp_path / "other").mkdir()
    return tmp_path


def daemon_at(place: Path, **more: Any) -> Daemon:
    # JSON is TOML's inline list but for its tables; the servers therefore come by the environment.
    servers = {"EDGECAM_ICE__SERVERS": json.dumps(CONFIG["ice"]["servers"])}
    config = {name: table for name, table in CONFIG.items() if name != "ice"} | more
    return Daemon(config, place / "state", env={"RUNTIME_DIRECTORY": str(place / "run"), **servers})


def make(place: Path, *options: str) -> Report:
    output = place / "report.tar.gz"
    config = ["--config", str(place / "state" / "run.toml")] if (place / "state" / "run.toml").exists() else []
    env = {"RUNTIME_DIRECTORY": str(place / "run")}
    done = run_edgecam("report", "-o", output, *config, *options, state_dir=place / "other", env=env, within=60)
    assert done.returncode == 0, done.stderr
    assert str(output) in done.stdout
    return Report(output)


def token_headers() -> dict[str, str]:
    return {"Authorization": f"Bearer {SECRETS[0]}"}


def test_everything_is_in_it_and_no_secret(place: Path) -> None:
    daemon = daemon_at(place)
    with daemon:
        until(lambda: b"front" in daemon.get("/api/v1/blackbox", **token_headers()).body, within=10, what="an event of the camera")
        assert daemon.get("/api/v1/blackbox").status == 401
        assert daemon.get("/api/v1/blackbox/deaths/..%2f..%2fweb-token", **token_headers()).status == 404
        report = make(place)
    names = {"README.txt", "status.json", "metrics.txt", "events.jsonl", "config.txt", "host.txt", "probe.json"}
    assert names <= report.files.keys()
    assert {"daemon.starting", "camera.opened"} <= {event["event"] for event in report.events()}
    assert json.loads(report.files["status.json"])["cameras"][0]["name"] == "front"
    assert report.deaths() == {}
    for text in report.files.values():
        assert not [secret for secret in SECRETS if secret in text]


def test_what_a_killed_daemon_did_last_is_in_the_next_ones_report(place: Path) -> None:
    first = daemon_at(place)
    with first:
        until(lambda: b"camera.opened" in first.get("/api/v1/blackbox", **token_headers()).body, within=10, what="the camera")
        first.kill()
    second = daemon_at(place, state_dir=str(place / "state"), reload={"trial": 0})
    with second:
        until((place / "state" / "last-good.toml").exists, within=10, what="what a wrong file is read instead of")
        second.file.write_text(second.file.read_text() + "[camera.front]\n")
        report = make(place)
    assert "not valid TOML" in report.files["config.txt"]
    assert json.loads(report.files["status.json"])["cameras"]
    ((name, text),) = report.deaths().items()
    assert name.endswith("-killed.jsonl")
    assert "camera.opened" in text
    assert "blackbox.kept" in {event["event"] for event in report.events()}
    for content in report.files.values():
        assert not [secret for secret in SECRETS if secret in content]


def test_a_daemon_that_hangs_is_reported_from_its_memory_and_its_abort_shows_where(place: Path) -> None:
    daemon = daemon_at(place)
    with daemon:
        until(lambda: b"camera.opened" in daemon.get("/api/v1/blackbox", **token_headers()).body, within=10, what="the camera")
        os.kill(daemon.pid, signal.SIGSTOP)
        try:
            report = make(place)
        finally:
            os.kill(daemon.pid, signal.SIGCONT)
        assert "camera.opened" in {event["event"] for event in report.events()}
        assert "status.json" in report.files["README.txt"]
        os.kill(daemon.pid, signal.SIGABRT)  # what systemd's watchdog sends
        until(lambda: daemon.returncode is not None, within=10, what="its end")
    successor = daemon_at(place)
    with successor:
        deaths = make(place).deaths()
    ((name, text),) = deaths.items()
    assert name.endswith("-aborted.jsonl")
    assert "asyncio" in json.loads(text.splitlines()[-1])["text"]


def test_without_a_daemon_and_with_a_wrong_file_there_is_a_report_all_the_same(place: Path) -> None:
    (place / "state").mkdir()
    (place / "state" / "run.toml").write_text('[camera.front]\nsorce = "test"\n')
    report = make(place)
    assert "sorce" in report.files["config.txt"]
    assert "no edgecam daemon answers" in report.files["README.txt"]
    assert report.files["host.txt"].startswith("edgecam ")
