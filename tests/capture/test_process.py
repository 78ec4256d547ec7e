"""A capture process from the daemon's side, on the test source."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edgecam.capture.process import CaptureProcess
from edgecam.errors import CaptureError
from edgecam.media import h264
from edgecam.media.types import AccessUnit, EncoderDemand
from edgecam.settings import CameraSettings
from tests.capture.watching import Recorder, child_pids, decode, ends, open_fds, read_clock_strip, running


def camera(**settings: object) -> CaptureProcess:
    defaults: dict[str, object] = {"source": "test", "quality": "low", "title": "Front door"}
    return CaptureProcess("front", CameraSettings.model_validate(defaults | settings))


def test_what_the_camera_sends_decodes_and_shows_the_time() -> None:
    async def watch() -> Recorder:
        sink = Recorder()
        async with running(camera(fps=29.7), sink):
            await sink.has_units(40)
        return sink

    sink = asyncio.run(watch())
    (info,) = sink.infos
    assert (info.width, info.height, info.fps, info.encoder) == (640, 480, 29.7, "libx264")
    assert info.profile_level_id.startswith("42c0")
    pictures = decode(unit.data for unit in sink.units)
    assert len(pictures) == len(sink.units)
    wall_ms_of_monotonic = time.time_ns() // 1_000_000 - time.monotonic_ns() // 1_000_000
    errors = [
        abs(read_clock_strip(picture) - (unit.captured_ns // 1_000_000 + wall_ms_of_monotonic) % 2**32)
        for unit, picture in zip(sink.units, pictures, strict=True)
    ]
    assert statistics.median(errors) <= 3  # milliseconds


def test_units_are_whole_and_their_times_only_grow() -> None:
    async def watch() -> Recorder:
        sink = Recorder()
        async with running(camera(), sink):
            await sink.until(lambda: len(sink.units) >= 20 and len(sink.reports) >= 1)
        return sink

    sink = asyncio.run(watch())
    assert sink.units[0].keyframe
    for unit in sink.units:
        assert unit.keyframe == h264.is_keyframe(unit.data)
        assert h264.count_slices(unit.data) == 1
        assert unit.captured_ns <= unit.received_ns
        assert unit.timestamp == pytest.approx(unit.captured_ns * 90_000 // 10**9, abs=5)
    stamps = [unit.timestamp for unit in sink.units]
    assert stamps == sorted(set(stamps))
    assert sink.reports[0].units_encoded >= 10
    assert sink.reports[0].encode_ms > 0


def test_a_keyframe_comes_at_once_when_it_is_asked_for() -> None:
    async def watch() -> list[AccessUnit]:
        sink, source = Recorder(), camera()
        async with running(source, sink):
            await sink.has_units(10)
            asked = len(sink.units)
            source.apply(EncoderDemand(300_000, keyframe=True))
            await sink.has_units(asked + 3)
        return sink.units[asked:]

    assert any(unit.keyframe for unit in asyncio.run(watch())[:2])


def test_a_slow_camera_does_not_make_a_newcomer_wait_for_its_next_picture() -> None:
    async def watch() -> tuple[list[AccessUnit], float]:
        sink, source = Recorder(), camera(fps=2, stall_timeout=5)
        async with running(source, sink):
            await sink.has_units(2)
            asked = time.monotonic()
            source.apply(EncoderDemand(300_000, keyframe=True))
            await sink.until(lambda: any(unit.keyframe for unit in sink.units[2:]))
            waited = time.monotonic() - asked
            await sink.has_units(6)
        return sink.units, waited

    units, waited = asyncio.run(watch())
    assert waited < 0.35  # the next picture is half a second away
    assert len(decode(unit.data for unit in units)) == len(units)
    stamps = [unit.timestamp for unit in units]
    assert stamps == sorted(set(stamps))
    assert (stamps[5] - stamps[3]) / 90_000 == pytest.approx(1.0, abs=0.1)  # the cadence goes on as if nothing was


def test_the_clock_goes_on_over_a_restart() -> None:
    async def watch() -> list[AccessUnit]:
        sink, source = Recorder(), camera()
        for count in (5, 10):
            async with running(source, sink):
                await sink.has_units(count)
        return sink.units

    units = asyncio.run(watch())
    stamps = [unit.timestamp for unit in units]
    assert stamps == sorted(set(stamps))
    assert sum(unit.keyframe for unit in units) == 2


def test_cancelling_is_prompt_and_leaves_no_process_and_no_descriptor() -> None:
    async def watch() -> float:
        sink, source = Recorder(), camera()
        async with running(source, sink):
            await sink.has_units(1)
        before_fds, before_children = open_fds(), child_pids()
        task = asyncio.create_task(source.run(sink))
        await sink.has_units(len(sink.units) + 3)
        assert len(child_pids()) == len(before_children) + 1
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        took = time.monotonic() - started
        assert child_pids() == before_children
        assert open_fds() == before_fds
        return took

    assert asyncio.run(watch()) < 1


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 20])
def test_cancelling_while_it_starts_leaves_nothing_either(turns: int) -> None:
    async def watch() -> None:
        before = open_fds(), child_pids()
        task = asyncio.create_task(camera().run(Recorder()))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (open_fds(), child_pids()) == before

    asyncio.run(watch())


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
        return time.monotonic() - started, child_pids()

    took, children = asyncio.run(watch())
    assert took < 1.5
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


ROOT = Path(__file__).parents[2]
DAEMON = """
import asyncio, sys
from edgecam.capture.process import CaptureProcess
from edgecam.settings import CameraSettings
from tests.capture.watching import Recorder, child_pids, running
async def main():
    sink = Recorder()
    async with running(CaptureProcess("front", CameraSettings(source="test", quality="low")), sink):
        await sink.has_units(3)
        print("pid", *child_pids(), flush=True)
        await sink.has_units(10**6, timeout=60)
asyncio.run(main())
"""


@pytest.mark.parametrize("frozen", [False, True])
def test_the_capture_process_dies_with_the_daemon(frozen: bool) -> None:
    command = [sys.executable, "-c", DAEMON]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as daemon:
        assert daemon.stdout is not None
        pid = next(int(line.split()[1]) for line in daemon.stdout if line.startswith("pid "))
        if frozen:
            os.kill(pid, signal.SIGSTOP)  # as deaf as one inside a driver
        daemon.kill()
    assert ends(pid, timeout=5)


def test_the_capture_process_imports_nothing_that_would_delay_the_picture() -> None:
    heavy = ["pydantic", "structlog", "aiohttp", "aiortc", "asyncio", "numpy"]
    code = f"import sys, edgecam.capture.child; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.strip() == "[]"


def test_secrets_do_not_reach_the_capture_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECAM_WEB__TOKEN", "hush")
    monkeypatch.setenv("CAMERA_HINT", "passed on")

    async def watch() -> bytes:
        sink = Recorder()
        async with running(camera(), sink):
            await sink.has_units(1)
            (pid,) = child_pids()
            return Path(f"/proc/{pid}/environ").read_bytes()

    environment = asyncio.run(watch())
    assert b"hush" not in environment
    assert b"CAMERA_HINT=passed on" in environment


def test_a_camera_of_one_picture_in_two_seconds_is_not_stalled() -> None:
    async def watch() -> Recorder:
        sink = Recorder()
        async with running(camera(fps=0.5, stall_timeout=0.5, start_timeout=1), sink):
            await sink.has_units(3)
        return sink

    assert len(asyncio.run(watch()).units) == 3


def test_a_daemon_out_of_descriptors_tries_again_later() -> None:
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

    asyncio.run(watch())


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


def test_a_process_that_a_driver_holds_is_never_joined_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped process that SIGKILL is kept from stands for one in state D, which the kernel keeps the same way."""
    source = camera(stall_timeout=0.5)

    async def break_it() -> int:
        sink = Recorder()
        with monkeypatch.context() as kernel:
            kernel.setattr(os, "killpg", lambda pid, _signal: os.kill(pid, signal.SIGSTOP))
            with pytest.raises(CaptureError, match="no picture"):
                async with running(source, sink):
                    await sink.has_units(3)
                    (pid,) = child_pids()
                    os.kill(pid, signal.SIGSTOP)
                    await sink.has_units(10**6)
        return pid

    async def watch() -> None:
        before = open_fds()
        pid = await break_it()
        for _ in range(3):
            with pytest.raises(CaptureError, match=f"a driver holds process {pid} of this camera") as caught:
                async with asyncio.timeout(5):
                    await source.run(Recorder())
            assert caught.value.code == "camera-stalled"
            assert caught.value.remedy.startswith("unplug")
            assert child_pids() == {pid}
        assert open_fds() == before
        os.kill(pid, signal.SIGKILL)  # the driver lets go
        assert ends(pid, timeout=5)
        sink = Recorder()
        async with running(source, sink):
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
