"""Capture processes that crash, freeze or cannot be started: each is an error of one camera, none is the daemon's end."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import threading
import time
from pathlib import Path

import pytest

from edgecam.capture.process import CaptureProcess
from edgecam.errors import CaptureError
from edgecam.media.types import AccessUnit
from edgecam.settings import CameraSettings
from tests.capture.faults import FaultTable
from tests.capture.watching import Recorder, child_pids, decode, ends, open_fds, running


def camera(**settings: object) -> CaptureProcess:
    values: dict[str, object] = {"source": "test", "quality": "low"}
    return CaptureProcess("front", CameraSettings.model_validate(values | settings))


def test_a_crash_is_named_and_its_last_words_are_kept() -> None:
    async def watch() -> None:
        sink = Recorder()
        async with running(camera(), sink):
            await sink.has_units(3)
            (pid,) = child_pids()
            os.kill(pid, signal.SIGSEGV)
            await sink.has_units(10**6)

    with pytest.raises(CaptureError, match=r"SIGSEGV.*Fatal Python error: Segmentation fault") as caught:
        asyncio.run(watch())
    assert caught.value.code == "capture-crashed"
    assert "\n" not in str(caught.value)


def test_a_process_that_is_frozen_is_killed_and_called_stalled() -> None:
    async def watch() -> tuple[float, set[int]]:
        sink = Recorder()
        started = 0.0
        try:
            async with running(camera(stall_timeout=0.5), sink):
                await sink.has_units(3)
                (pid,) = child_pids()
                os.kill(pid, signal.SIGSTOP)
                started = time.monotonic()
                await sink.has_units(10**6)
        except CaptureError as error:
            assert error.code == "camera-stalled"  # noqa: PT017 - the time it took is wanted too
            assert "no picture for 0.5 s" in error.message  # noqa: PT017
        return time.monotonic() - started, child_pids()

    took, children = asyncio.run(watch())
    assert 0.4 < took < 5
    assert not children


def test_a_daemon_that_was_busy_itself_does_not_blame_the_camera() -> None:
    async def watch() -> list[AccessUnit]:
        sink = Recorder()
        async with running(camera(stall_timeout=0.5), sink):
            await sink.has_units(3)
            threading.Event().wait(1.2)  # blocks the whole loop, which is the fault to survive
            resumed = len(sink.units)
            await sink.until(lambda: any(unit.keyframe for unit in sink.units[resumed:]))
            await sink.has_units(len(sink.units) + 5)
        return sink.units

    units = asyncio.run(watch())
    first = next(number for number, unit in enumerate(units) if number and unit.keyframe)
    assert len(decode(unit.data for unit in units[:first])) == first
    assert len(decode(unit.data for unit in units[first:])) == len(units) - first


def test_a_daemon_out_of_descriptors_tries_again_later(faults: FaultTable) -> None:
    async def watch() -> None:
        before, limits = open_fds(), resource.getrlimit(resource.RLIMIT_NOFILE)
        taken = {int(entry.split()[0]) for entry in before}
        free = [number for number in range(limits[0]) if number not in taken]
        for spare in range(6):  # sockets, pipes and /dev/null need more than that
            resource.setrlimit(resource.RLIMIT_NOFILE, (free[spare], limits[1]))
            try:
                with pytest.raises(CaptureError, match="cannot start a process"):
                    async with asyncio.timeout(5):
                        await camera().run(Recorder())
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            assert open_fds() == before
        sink, begun = Recorder(), time.monotonic()
        async with running(camera(), sink):
            await sink.has_units(1)
            faults.measured("out of descriptors", time.monotonic() - begun, within=5)

    asyncio.run(watch())


def test_a_daemon_out_of_descriptors_still_says_that_the_camera_is_absent(tmp_path: Path) -> None:
    source = camera(source="v4l2", device=str(tmp_path / "video9"))

    async def run() -> None:
        limits, taken = resource.getrlimit(resource.RLIMIT_NOFILE), {int(entry.split()[0]) for entry in open_fds()}
        free = next(number for number in range(limits[0]) if number not in taken)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
        try:
            with pytest.raises(CaptureError, match="does not exist") as caught:
                await source.run(Recorder())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert caught.value.code == "camera-absent"

    asyncio.run(run())


def test_a_machine_out_of_threads_has_its_picture_and_keeps_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def watch() -> None:
        before = open_fds(), child_pids()
        monkeypatch.setattr(threading.Thread, "start", refuse)
        sink = Recorder()
        async with running(camera(), sink):
            await sink.has_units(3)
        assert (open_fds(), child_pids()) == before

    asyncio.run(watch())


def test_a_process_that_a_driver_holds_is_never_joined_by_another(monkeypatch: pytest.MonkeyPatch, faults: FaultTable) -> None:
    """A stopped process that SIGKILL is kept from stands for one in state D, which the kernel keeps the same way."""
    source = camera(stall_timeout=0.5)

    async def break_it() -> int:
        sink = Recorder()
        task = asyncio.create_task(source.run(sink))
        await sink.has_units(3)
        (pid,) = child_pids()
        with monkeypatch.context() as kernel:
            kernel.setattr(os, "killpg", lambda pid, _signal: os.kill(pid, signal.SIGSTOP))
            os.kill(pid, signal.SIGSTOP)
            with pytest.raises(CaptureError, match="no picture"):
                await task
        return pid

    async def refuses_to_join(pid: int) -> None:
        with pytest.raises(CaptureError, match=f"a driver holds process {pid} of this camera") as caught:
            async with asyncio.timeout(5):
                await source.run(Recorder())
        assert caught.value.code == "camera-stalled"
        assert caught.value.remedy.startswith("unplug")
        assert child_pids() == {pid}

    async def watch() -> None:
        before = open_fds()
        pid = await break_it()
        try:
            for _ in range(3):
                await refuses_to_join(pid)
            assert open_fds() == before
        finally:
            os.kill(pid, signal.SIGKILL)  # the driver lets go
        assert ends(pid, timeout=5)
        sink, begun = Recorder(), time.monotonic()
        async with running(source, sink):
            await sink.has_units(1)
            faults.measured("held by a driver", time.monotonic() - begun, within=5)
            await sink.has_units(3)
            assert pid not in child_pids()
        assert not child_pids()

    asyncio.run(watch())


def test_a_process_ended_by_a_real_time_signal_is_a_crash_like_any_other() -> None:
    async def watch() -> None:
        sink = Recorder()
        async with running(camera(), sink):
            await sink.has_units(3)
            (pid,) = child_pids()
            os.kill(pid, signal.SIGRTMIN + 6)
            await sink.has_units(10**6)

    with pytest.raises(CaptureError, match=r"ended by signal 40") as caught:
        asyncio.run(watch())
    assert caught.value.code == "capture-crashed"
