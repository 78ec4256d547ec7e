"""A capture process from the daemon's side, on the test source."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgecam.capture.process import CaptureProcess
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
            await sink.until(lambda: any(report.units_encoded >= 10 for report in sink.reports))
            await sink.has_units(20)
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
    assert sink.reports[0].encode_ms > 0


def test_a_keyframe_comes_at_once_when_it_is_asked_for() -> None:
    async def watch() -> list[AccessUnit]:
        sink, source = Recorder(), camera(keyframe_interval=60)
        async with running(source, sink):
            await sink.has_units(10)
            asked, asked_ns = len(sink.units), time.monotonic_ns()
            source.apply(EncoderDemand(300_000, keyframe=True))
            await sink.until(lambda: any(unit.keyframe for unit in sink.units[asked:]))
        # Pictures captured before that were still on their way, on a busy machine more than one, do not count.
        return [unit for unit in sink.units[asked:] if unit.keyframe or unit.captured_ns > asked_ns]

    assert any(unit.keyframe for unit in asyncio.run(watch())[:2])


def test_a_slow_camera_does_not_make_a_newcomer_wait_for_its_next_picture() -> None:
    async def watch() -> list[AccessUnit]:
        sink, source = Recorder(), camera(fps=1, stall_timeout=5)
        async with running(source, sink):
            await sink.has_units(2)
            source.apply(EncoderDemand(300_000, keyframe=True))
            await sink.has_units(6)
        return sink.units

    units = asyncio.run(watch())
    assert [unit.keyframe for unit in units[1:4]] == [False, True, False]
    assert len(decode(unit.data for unit in units)) == len(units)
    stamps = [unit.timestamp for unit in units]
    assert stamps == sorted(set(stamps))
    seconds = [(stamp - stamps[1]) / 90_000 for stamp in stamps]
    assert seconds[3] < 1.5  # the keyframe was one more picture, before the next that was due
    assert seconds[5] - seconds[3] == pytest.approx(2.0, abs=0.5)  # the cadence goes on as if nothing was


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

    assert asyncio.run(watch()) < 1 + 1  # killed at once; that it was reaped is seen above


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
