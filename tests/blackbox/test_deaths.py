"""Deaths on disk: bounded in number and in writes a day; found and told apart at the next start."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgecam.blackbox.box import recording
from edgecam.blackbox.deaths import Deaths
from edgecam.errors import ConfigError
from edgecam.settings import BlackboxSettings

SETTINGS = BlackboxSettings(memory_bytes=65_536)


def test_so_many_are_kept_and_so_many_written_a_day(tmp_path: Path) -> None:
    deaths = Deaths(tmp_path / "blackbox", keep=3, per_day=2)
    now = 1_800_000_000.0
    written = [deaths.save("crash", ["line"], {}, now + hour * 3600) for hour in range(96)]
    assert sum(path is not None for path in written) == 8
    assert len(deaths.names()) == 3
    assert deaths.names() == sorted(deaths.names(), reverse=True)
    assert deaths.path("../../etc/passwd") is None
    head, line = gzip.decompress((deaths.directory / deaths.names()[0]).read_bytes()).decode().splitlines()
    assert json.loads(head)["reason"] == "crash"
    assert line == "line"
    assert (deaths.directory / deaths.names()[0]).stat().st_mode & 0o777 == 0o600


def test_who_keeps_one_writes_no_more_than_who_keeps_many(tmp_path: Path) -> None:
    deaths = Deaths(tmp_path / "blackbox", keep=1, per_day=2)
    written = [deaths.save("crash", ["line"], {}, 1_800_000_000.0 + hour * 3600) for hour in range(96)]
    assert sum(path is not None for path in written) == 8
    assert len(deaths.names()) == 1


def test_a_note_is_masked_as_a_log_record_is(tmp_path: Path) -> None:
    with recording(SETTINGS, tmp_path, None) as box:
        box.note("vitals", not_ready=["camera.front: rtsp://me:a-password@cam/ gives nothing"], token="a-token")
        text = "\n".join(box.ring.lines())
    assert "gives nothing" in text
    assert "a-password" not in text
    assert "a-token" not in text


def die(tmp_path: Path, how: str) -> int:
    code = f"""
import ctypes, faulthandler, os, signal, time
from pathlib import Path
from edgecam.blackbox.box import recording
from edgecam.health.ladder import ExhaustedError
from edgecam.settings import BlackboxSettings
root = Path({str(tmp_path)!r})
with recording(BlackboxSettings(memory_bytes=65536), root / "state", root / "run") as box:
    box.note("daemon.starting")
    box.note("the.last-thing")
    {how}
"""
    (tmp_path / "run").mkdir(exist_ok=True)
    return subprocess.run([sys.executable, "-c", code], timeout=20, stderr=subprocess.DEVNULL).returncode


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "killed"),
        ("os.kill(os.getpid(), signal.SIGABRT)", "aborted"),
        ("ctypes.string_at(0)", "segfault"),
        ("box.note('daemon.stopping'); os._exit(1)", "stop-hung"),
        ("1 / 0", "crash"),
        ("raise ExceptionGroup('', [ExhaustedError('no picture')])", "camera-exhausted"),
    ],
)
def test_every_kind_of_death_is_found_with_its_last_words(tmp_path: Path, how: str, reason: str) -> None:
    assert die(tmp_path, how) != 0
    with recording(SETTINGS, tmp_path / "state", tmp_path / "run") as box:
        (name,) = box.deaths.names()
    assert name.endswith(f"-{reason}.jsonl.gz")
    lines = gzip.decompress((tmp_path / "state/blackbox" / name).read_bytes()).decode().splitlines()
    assert any("the.last-thing" in line for line in lines)
    if reason in {"aborted", "segfault"}:
        stacks = json.loads(lines[-1])
        assert 'File "<string>", line 11 in <module>' in stacks["text"]


def test_an_orderly_end_leaves_nothing_on_disk(tmp_path: Path) -> None:
    assert die(tmp_path, "pass") == 0
    assert die(tmp_path, "raise SystemExit(3)") == 3
    with pytest.raises(ConfigError), recording(SETTINGS, tmp_path / "state", tmp_path / "run"):
        raise ConfigError("no camera")
    with recording(SETTINGS, tmp_path / "state", tmp_path / "run") as box:
        assert [json.loads(line)["event"] for line in box.ring.lines()] == ["daemon.starting", "the.last-thing"] * 2
    assert not (tmp_path / "state").exists()


def test_a_disk_that_takes_nothing_does_not_keep_the_daemon_from_running(tmp_path: Path) -> None:
    die(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    (tmp_path / "state").write_text("in the way")
    with recording(SETTINGS, tmp_path / "state", tmp_path / "run") as box:
        assert box.deaths.names() == []


def test_without_a_runtime_directory_a_crash_is_kept_all_the_same(tmp_path: Path) -> None:
    def crash() -> None:
        with recording(SETTINGS, tmp_path, None) as box:
            box.note("before")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        crash()
    (path,) = (tmp_path / "blackbox").iterdir()
    assert "before" in gzip.decompress(path.read_bytes()).decode()
