"""FFmpeg's h264_v4l2m2m, driven as in production against a V4L2 encoder in user space (tests/fakes/fakem2m.c), and its faults."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgecam.capture.process import CaptureProcess
from edgecam.errors import CaptureError
from edgecam.media import h264
from edgecam.media.types import AccessUnit, EncoderDemand
from edgecam.settings import CameraSettings
from tests.capture.faults import FaultTable
from tests.capture.watching import Recorder, decode, running
from tests.fakes.m2m import BITRATE, FORCE_KEY_FRAME, REPEAT_SEQ_HEADER, FakeM2m, build_fake_m2m
from tests.harness.footage import busy_footage

HARDWARE = "h264_v4l2m2m"


@pytest.fixture(scope="session")
def m2m_library(request: pytest.FixtureRequest) -> Path:
    assert request.config.cache is not None
    return build_fake_m2m(request.config.cache.mkdir("fakem2m"))


@pytest.fixture
def hardware(m2m_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeM2m:
    """/dev/video11, an encoder that works, for capture processes that are started from now on."""
    fake = FakeM2m(m2m_library, tmp_path)
    for name, value in fake.env.items():
        monkeypatch.setenv(name, value)
    fake.install()
    return fake


def camera(**settings: object) -> CaptureProcess:
    values: dict[str, object] = {
        "source": "test", "quality": "low", "start_timeout": 2, "stall_timeout": 1.0, "renditions": 1, "keyframe_interval": 300,
    }  # fmt: skip
    return CaptureProcess("front", CameraSettings.model_validate(values | settings))


async def restarted(source: CaptureProcess, sink: Recorder) -> None:
    """`source.run` again and again, as the supervisor does, until the task is cancelled."""
    while True:
        try:
            await source.run(sink)
        except CaptureError as error:
            sink.errors.append(error)


def keyframes(units: list[AccessUnit]) -> list[int]:
    return [number for number, unit in enumerate(units) if unit.keyframe]


def test_it_is_chosen_before_software_and_what_it_makes_is_what_every_viewer_needs(hardware: FakeM2m) -> None:
    async def run() -> Recorder:
        sink, source = Recorder(), camera()
        async with running(source, sink):
            await sink.has_units(10)
            source.apply(EncoderDemand(300_000, keyframe=True))
            await sink.until(lambda: len(keyframes(sink.units)) > 1)
            await sink.has_units(len(sink.units) + 5)
        return sink

    sink = asyncio.run(run())
    assert sink.infos[0].encoder == HARDWARE
    assert sink.infos[0].reason == f"{HARDWARE} encodes"
    assert hardware.set_to(REPEAT_SEQ_HEADER)[-1] == 1
    for number in keyframes(sink.units):
        types = [kind for kind in h264.nal_types(sink.units[number].data) if kind != h264.SEI]
        assert types == [h264.SPS, h264.PPS, h264.IDR_SLICE]
    assert all(h264.count_slices(unit.data) == 1 for unit in sink.units)
    assert len(decode(unit.data for unit in sink.units)) == len(sink.units)
    assert len(hardware.set_to(FORCE_KEY_FRAME)) >= 2


def rate_bps(units: list[AccessUnit]) -> float:
    return sum(len(unit.data) for unit in units[1:]) * 8e9 / (units[-1].captured_ns - units[0].captured_ns)


def test_its_bitrate_follows_while_it_runs_and_nothing_is_opened_anew(hardware: FakeM2m, tmp_path: Path) -> None:
    film = str(busy_footage())

    async def run() -> tuple[float, float, int]:
        sink, source = Recorder(), camera(source="file", path=film, bitrate_kbps=1500)
        async with running(source, sink):
            source.apply(EncoderDemand(1_500_000))
            await sink.has_units(60)
            source.apply(EncoderDemand(300_000))
            await sink.has_units(130)
        assert len(sink.infos) == 1
        return rate_bps(sink.units[15:60]), rate_bps(sink.units[85:130]), len(keyframes(sink.units))

    high, low, keys = asyncio.run(run())
    assert hardware.set_to(BITRATE)[-1] == 300_000
    assert high > 900_000
    assert low < 450_000
    assert keys == 1


def test_an_encoder_that_gives_units_late_keeps_the_times_of_its_pictures(hardware: FakeM2m) -> None:
    hardware.set("delay")

    async def run() -> Recorder:
        sink = Recorder()
        async with running(camera(), sink):
            await sink.has_units(20)
        return sink

    sink = asyncio.run(run())
    assert sink.infos[0].encoder == HARDWARE
    gaps = [(b.captured_ns - a.captured_ns) / 1e6 for a, b in itertools.pairwise(sink.units)]
    assert statistics.median(gaps) == pytest.approx(1000 / 15, abs=2)
    late = [(unit.received_ns - unit.captured_ns) / 1e6 for unit in sink.units]
    assert statistics.median(late) > 2.5 * 1000 / 15
    assert len(decode(unit.data for unit in sink.units)) == len(sink.units)


@pytest.mark.parametrize(("state", "code"), [("hang", "encoder-failed"), ("eio", "encoder-failed"), ("crash", "capture-crashed")])
def test_when_it_breaks_software_goes_on_in_a_moment_and_it_is_tried_again_later(
    hardware: FakeM2m, state: str, code: str, faults: FaultTable
) -> None:
    async def run() -> tuple[Recorder, float, str]:
        sink, source = Recorder(), camera(encoder_retry=1)
        task = asyncio.create_task(restarted(source, sink))
        await sink.has_units(10)
        hardware.set(state)
        broken = time.monotonic()
        await sink.until(lambda: len(sink.infos) > 1)
        count = len(sink.units)
        await sink.has_units(count + 1)
        took = time.monotonic() - broken
        said = sink.infos[1].reason
        assert source.left_out
        hardware.set("ok")
        await sink.until(lambda: sink.infos[-1].encoder == HARDWARE, timeout=20)
        count = len(sink.units)
        await sink.has_units(count + 5)
        assert not source.left_out
        task.cancel()
        await asyncio.wait([task])
        return sink, took, said

    sink, took, said = asyncio.run(run())
    assert [info.encoder for info in sink.infos] == [HARDWARE, "libx264", HARDWARE]
    assert [error.code for error in sink.errors] == [code]  # going back to it is no error
    assert said.startswith(f"{HARDWARE}: left out (it hung, crashed or failed; tried again 1 s later)")
    times = [unit.timestamp for unit in sink.units]
    assert times == sorted(set(times))
    faults.measured(f"encoder {state}", took, within=3)


def test_a_stalled_encoder_is_not_called_a_stalled_camera(hardware: FakeM2m) -> None:
    """The other way round is test_v4l2.py's: there the camera stalls, with the encoder well."""

    async def run() -> CaptureError:
        sink = Recorder()
        task = asyncio.create_task(camera(stall_timeout=1).run(sink))
        await sink.has_units(5)
        hardware.set("hang")
        with pytest.raises(CaptureError) as caught:
            await task
        return caught.value

    error = asyncio.run(run())
    assert error.code == "encoder-failed"
    assert f"{HARDWARE} took a picture" in error.message


def occupant(hardware: FakeM2m) -> subprocess.Popen[bytes]:
    """Another process that has the encoder to itself."""
    code = "import os, sys; os.open('/dev/video11', os.O_RDWR); print('open', flush=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    return process


def test_one_that_another_process_holds_is_named_and_taken_when_it_is_free(hardware: FakeM2m) -> None:
    hardware.set("single")

    async def run(other: subprocess.Popen[bytes]) -> Recorder:
        sink, source = Recorder(), camera(encoder_retry=1)
        async with running(source, sink):
            await sink.has_units(5)
            assert sink.infos[0].encoder == "libx264"
            assert sink.infos[0].busy_encoder == HARDWARE
            other.communicate()
            await sink.until(lambda: len(sink.infos) > 1, timeout=20)
            await sink.has_units(len(sink.units) + 5)
        return sink

    with occupant(hardware) as other:
        sink = asyncio.run(run(other))
    assert sink.infos[0].reason.startswith(f"{HARDWARE}: /dev/video11 is in use; ")
    assert sink.infos[1].encoder == HARDWARE
    times = [unit.timestamp for unit in sink.units]
    assert times == sorted(set(times))


@pytest.mark.parametrize("state", ["busy", "hang-open", "eio", "hang", "crash"])
def test_one_that_is_broken_from_the_start_costs_a_moment(hardware: FakeM2m, faults: FaultTable, state: str) -> None:
    hardware.set(state)

    async def run() -> tuple[Recorder, float]:
        sink, started = Recorder(), time.monotonic()
        task = asyncio.create_task(restarted(camera(), sink))
        await sink.has_units(1)
        took = time.monotonic() - started
        task.cancel()
        await asyncio.wait([task])
        return sink, took

    sink, took = asyncio.run(run())
    assert sink.infos[0].encoder == "libx264"
    faults.measured(f"encoder {state} from the start", took, within=2 + 3)  # start_timeout, and a second process
