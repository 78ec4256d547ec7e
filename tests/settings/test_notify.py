"""What arrives on systemd's notification socket."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgecam.notify import ServiceNotifier


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A listening end, with $NOTIFY_SOCKET naming it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@edgecam-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0") if name.startswith("@") else name)
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield listener


def test_each_call_is_one_message(systemd: socket.socket) -> None:
    with ServiceNotifier() as notifier:
        notifier.ready()
        notifier.status("all components running")
        notifier.stopping()
    assert [systemd.recv(4096) for _ in range(3)] == [b"READY=1", b"STATUS=all components running", b"STOPPING=1"]


def test_a_reload_carries_the_time_at_which_it_began(systemd: socket.socket) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    with ServiceNotifier() as notifier:
        notifier.reloading()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    first, second = systemd.recv(4096).decode().split("\n")
    assert first == "RELOADING=1"
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= after


def test_an_unchanged_status_is_not_repeated(systemd: socket.socket) -> None:
    with ServiceNotifier() as notifier:
        for status in ["a", "a", "b", "b\n"]:
            notifier.status(status)
        notifier.ready()
    assert [systemd.recv(4096) for _ in range(3)] == [b"STATUS=a", b"STATUS=b", b"READY=1"]


def test_a_status_is_one_line_of_utf8(systemd: socket.socket) -> None:
    with ServiceNotifier() as notifier:
        notifier.status("Tür · 2 ▶\nMAINPID=1")
    assert systemd.recv(4096).decode() == "STATUS=Tür · 2 ▶ MAINPID=1"


def test_the_watchdog_is_fed_twice_as_often_as_asked(systemd: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    with ServiceNotifier() as notifier:
        assert notifier.watchdog_interval == 10.0
        notifier.watchdog()
    assert systemd.recv(4096) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    "environ",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}],
)
def test_without_a_watchdog_for_this_process_there_is_no_interval(environ: dict[str, str]) -> None:
    assert ServiceNotifier(environ).watchdog_interval is None


def test_without_systemd_every_call_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    with ServiceNotifier() as notifier:
        notifier.ready()
        notifier.status("x")
        notifier.watchdog()
        notifier.stopping()


def test_a_listener_that_is_gone_does_no_harm(systemd: socket.socket) -> None:
    with ServiceNotifier() as notifier:
        notifier.ready()
        systemd.close()
        notifier.status("x")
