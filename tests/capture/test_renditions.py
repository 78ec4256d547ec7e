"""Renditions from the real capture process, on demand, through the camera's pipeline to viewers."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from edgecam.capture.process import CaptureProcess
from edgecam.health import HealthBoard
from edgecam.media import h264, rendition
from edgecam.media.keyframes import MIN_INTERVAL
from edgecam.media.pipeline import Pipeline
from edgecam.media.types import AccessUnit, EncoderDemand, LowerRendition, StreamInfo
from edgecam.settings import CameraSettings
from edgecam.supervisor import Backoff, background, supervise
from tests.capture.watching import Recorder, child_pids, decode, running
from tests.harness.footage import busy_footage

CEILING = 2_000_000
SIZES = [(1280, 720), (640, 360), (320, 180)]


def settings(**values: object) -> CameraSettings:
    defaults: dict[str, object] = {"source": "test", "width": 1280, "height": 720, "fps": 30, "bitrate_kbps": 2000}
    return CameraSettings.model_validate(defaults | values)


class Watcher:
    """A viewer whose link is told from outside; wakes whoever waits at each unit."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.units: list[AccessUnit] = []
        self._changed = asyncio.Event()
        self.feed = pipeline.attach(self._take)
        self.feed.start()

    def _take(self, unit: AccessUnit) -> None:
        self.units.append(unit)
        self._changed.set()

    async def until(self, condition: Callable[[], bool], timeout: float = 15) -> None:
        async with asyncio.timeout(timeout):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def more(self, count: int) -> list[AccessUnit]:
        """The next units."""
        seen = len(self.units)
        await self.until(lambda: len(self.units) >= seen + count)
        return self.units[seen : seen + count]


@asynccontextmanager
async def camera(**values: object) -> AsyncIterator[tuple[Pipeline, CaptureProcess]]:
    chosen = settings(**values)
    source = CaptureProcess("front", chosen)
    component = HealthBoard().component("camera.front")
    pipeline = Pipeline("front", chosen, source, component)

    async def run() -> None:
        await supervise(pipeline.run, component, Backoff(first=0.1, cap=0.2, reset_after=10))

    async with background(("camera", run)):
        yield pipeline, source


def sizes_of(units: list[AccessUnit]) -> list[tuple[int, int]]:
    return sorted({(picture.width, picture.height) for picture in decode(unit.data for unit in units)}, reverse=True)


def assert_continuous(units: list[AccessUnit]) -> None:
    """A decoder that is given all of them, across every switch, has a picture for each, in order."""
    assert units[0].keyframe
    for before, after in pairwise(units):
        assert after.timestamp > before.timestamp
        assert after.rendition == before.rendition or after.keyframe
    assert len(decode(unit.data for unit in units)) == len(units)


def test_the_capture_process_encodes_what_is_demanded_and_nothing_else() -> None:
    async def watch() -> Recorder:
        sink, source = Recorder(), CaptureProcess("front", settings(keyframe_interval=60))
        async with running(source, sink):
            await sink.has_units(5)
            for index in (1, 2):
                source.apply(EncoderDemand(400_000, rendition=index))
            await sink.until(lambda: all(sum(u.rendition == i for u in sink.units) >= 10 for i in range(3)))
            source.apply(EncoderDemand(0, rendition=1))
            seen = len(sink.units)
            await sink.until(lambda: sum(u.rendition == 2 for u in sink.units[seen:]) >= 20)
            assert [u.rendition for u in sink.units[-10:]].count(1) == 0
            source.apply(EncoderDemand(400_000, rendition=1))
            await sink.until(lambda: sum(u.rendition == 1 for u in sink.units[-30:]) >= 5)
        return sink

    sink = asyncio.run(watch())
    (info,) = sink.infos
    streams: list[StreamInfo | LowerRendition] = [info, *info.lower]
    assert [(stream.width, stream.height) for stream in streams] == SIZES
    for index, size in enumerate(SIZES):
        units = [unit for unit in sink.units if unit.rendition == index]
        assert [unit.keyframe for unit in units].count(True) == (2 if index == 1 else 1), "each start has one keyframe"
        assert len(decode(unit.data for unit in units)) == len(units)
        assert sizes_of(units) == [size]
        sps = h264.find_nal(units[0].data, h264.SPS)
        assert sps is not None
        assert h264.profile_level_id(sps) == streams[index].profile_level_id


def test_the_same_picture_has_the_same_time_in_every_rendition_and_the_full_size_is_sent_first() -> None:
    async def watch() -> list[AccessUnit]:
        sink, source = Recorder(), CaptureProcess("front", settings())
        async with running(source, sink):
            await sink.has_units(5)
            source.apply(EncoderDemand(400_000, rendition=1))
            await sink.until(lambda: sum(u.rendition == 1 for u in sink.units) >= 30)
        return sink.units

    units, full, same = asyncio.run(watch()), dict[int, int](), 0
    for unit in units:
        if unit.rendition == 0:
            full[unit.captured_ns] = unit.timestamp
        elif not unit.keyframe:  # the first one may be made at once, of the last picture
            assert full[unit.captured_ns] == unit.timestamp
            same += 1
    assert same >= 29


def test_when_nobody_needs_anything_the_full_size_is_encoded() -> None:
    async def watch() -> list[AccessUnit]:
        sink, source = Recorder(), CaptureProcess("front", settings())
        async with running(source, sink):
            await sink.has_units(5)
            source.apply(EncoderDemand(0))
            await sink.has_units(len(sink.units) + 10)
        return sink.units

    units = asyncio.run(watch())
    assert {unit.rendition for unit in units} == {0}
    assert len(decode(unit.data for unit in units)) == len(units)


def test_a_viewer_goes_down_and_up_without_a_gap_and_its_encoders_start_and_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rendition, "LINGER", 0.5)

    async def watch() -> list[AccessUnit]:
        async with camera() as (pipeline, _source):
            viewer = Watcher(pipeline)
            await viewer.more(10)
            assert [each.running for each in pipeline.renditions] == [True, False, False]
            viewer.feed.available(600_000)
            await viewer.until(lambda: viewer.feed.rendition == 1)
            await viewer.until(lambda: not pipeline.renditions[0].running)
            assert [each.viewers for each in pipeline.renditions] == [0, 1, 0]
            assert pipeline.renditions[1].applied_bps == 600_000
            assert pipeline.component.state.ready
            viewer.feed.available(250_000)
            await viewer.until(lambda: viewer.feed.rendition == 2)
            viewer.feed.available(4_000_000)
            await viewer.until(lambda: viewer.feed.rendition == 0)
            await viewer.until(lambda: not any(each.running for each in pipeline.renditions[1:]))
            await viewer.more(5)
            return viewer.units

    units = asyncio.run(watch())
    assert_continuous(units)
    assert sizes_of(units) == SIZES
    gaps = [(b.captured_ns - a.captured_ns) / 1e6 for a, b in pairwise(units)]
    assert statistics.median(gaps) == pytest.approx(33.3, abs=4)
    assert max(gaps) < 500, "the old rendition went on until the new one's keyframe"


def test_a_viewer_that_lags_on_its_way_down_is_spared_the_old_rendition() -> None:
    async def watch() -> tuple[list[AccessUnit], int]:
        async with camera() as (pipeline, _source):
            viewer, other = Watcher(pipeline), Watcher(pipeline)
            await viewer.more(10)
            before = len(viewer.units)
            viewer.feed.available(600_000)
            viewer.feed.lagged()
            other.feed.request_keyframe()  # the old rendition has one too
            await viewer.until(lambda: viewer.feed.rendition == 1)
            await viewer.more(10)
            return viewer.units, before

    units, before = asyncio.run(watch())
    assert {unit.rendition for unit in units[before:]} == {1}
    assert_continuous(units)


def test_of_five_viewers_one_is_slow_and_the_others_keep_their_bitrate() -> None:
    async def watch() -> tuple[float, float, float, Pipeline]:
        async with camera(source="file", path=str(busy_footage())) as (pipeline, _source):
            viewers = [Watcher(pipeline) for _ in range(5)]
            for viewer in viewers:
                viewer.feed.available(4_000_000)
            await viewers[0].more(90)
            before = pipeline.renditions[0].measured()[1]
            viewers[4].feed.available(600_000)
            await viewers[4].until(lambda: viewers[4].feed.rendition == 1)
            for _ in range(3):
                await viewers[0].more(30)
                for viewer in viewers:
                    viewer.feed.available(600_000 if viewer is viewers[4] else 4_000_000)
            after, slow = pipeline.renditions[0].measured()[1], pipeline.renditions[1].measured()[1]
            assert [each.viewers for each in pipeline.renditions] == [4, 1, 0]
            for viewer in viewers:
                assert_continuous(viewer.units)
            return before, after, slow, pipeline

    before, after, slow, pipeline = asyncio.run(watch())
    assert pipeline.renditions[0].applied_bps == CEILING
    assert pipeline.renditions[1].applied_bps == 600_000
    assert after >= 0.9 * before  # what the scene asks for varies; the target, above, does not
    assert slow <= 1.2 * 600_000


def test_keyframe_requests_of_fifty_viewers_are_merged_in_each_rendition_by_itself() -> None:
    async def watch() -> tuple[list[AccessUnit], list[AccessUnit]]:
        async with camera() as (pipeline, _source):
            full = [Watcher(pipeline) for _ in range(25)]
            small = [Watcher(pipeline) for _ in range(25)]
            await full[0].more(5)
            for viewer in small:
                viewer.feed.available(600_000)
            await small[0].until(lambda: all(viewer.feed.rendition == 1 for viewer in small))
            for _ in range(20):
                for viewer in (*full, *small):
                    viewer.feed.request_keyframe()
                await full[0].more(2)
            return full[0].units, small[0].units

    for units, index in zip(asyncio.run(watch()), (0, 1), strict=True):
        keyframes = [unit for unit in units if unit.keyframe and unit.rendition == index]
        assert len(keyframes) >= 3
        seconds = (units[-1].captured_ns - units[0].captured_ns) / 1e9
        assert len(keyframes) <= seconds / MIN_INTERVAL + 2


def test_a_viewer_keeps_its_feed_and_its_rendition_when_the_capture_process_is_replaced() -> None:
    async def watch() -> list[AccessUnit]:
        async with camera() as (pipeline, _source):
            viewer = Watcher(pipeline)
            await viewer.more(5)
            viewer.feed.available(600_000)
            await viewer.until(lambda: viewer.feed.rendition == 1)
            await viewer.more(5)
            (pid,) = child_pids()
            os.kill(pid, signal.SIGKILL)
            await viewer.until(lambda: pipeline.starts == 2)
            await viewer.until(lambda: pipeline.renditions[1].applied_bps == 600_000)
            await viewer.more(10)
            return viewer.units

    units = asyncio.run(watch())
    assert_continuous(units)
    assert units[-1].rendition == 1


def test_a_newcomer_starts_on_the_full_size_at_once_while_everybody_is_on_a_smaller_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rendition, "LINGER", 0.2)

    async def watch() -> tuple[list[AccessUnit], float]:
        async with camera() as (pipeline, _source):
            viewer = Watcher(pipeline)
            await viewer.more(5)
            viewer.feed.available(250_000)
            await viewer.until(lambda: not pipeline.renditions[0].running)
            began = asyncio.get_running_loop().time()
            newcomer = Watcher(pipeline)
            await newcomer.more(1)
            took = asyncio.get_running_loop().time() - began
            viewer.feed.close()
            await newcomer.more(10)
            return newcomer.units, took

    units, took = asyncio.run(watch())
    assert {unit.rendition for unit in units} == {0}
    assert_continuous(units)
    assert took < 0.5


def test_with_one_rendition_a_slow_viewer_stays_on_it_at_its_floor() -> None:
    async def watch() -> None:
        async with camera(renditions=1) as (pipeline, _source):
            viewer = Watcher(pipeline)
            await viewer.more(5)
            viewer.feed.available(100_000)
            await viewer.more(30)
            assert len(pipeline.renditions) == 1
            assert (viewer.feed.rendition, pipeline.renditions[0].applied_bps) == (0, CEILING // 4)

    asyncio.run(watch())


def test_what_happens_is_logged_once_per_change() -> None:
    async def watch() -> None:
        async with camera() as (pipeline, _source):
            viewer = Watcher(pipeline)
            await viewer.more(5)
            viewer.feed.available(600_000)
            await viewer.until(lambda: viewer.feed.rendition == 1)

    with capture_logs() as events:
        asyncio.run(watch())
    (change,) = [event for event in events if event["event"] == "viewer.rendition"]
    assert (change["before"], change["rendition"]) == (0, 1)


def test_pictures_are_left_out_evenly_while_time_bits_and_keyframes_stay_right() -> None:
    """Thirty pictures a second, of which the encoders get every third; without a gap for the decoder, nor a restart."""

    async def watch() -> Recorder:
        sink, source = Recorder(), CaptureProcess("front", settings(keyframe_interval=2))
        async with running(source, sink):
            await sink.has_units(20)
            source.apply(EncoderDemand(300_000, every=3))
            await sink.has_units(20 + 55)
            source.apply(EncoderDemand(300_000, every=3, keyframe=True))
            await sink.has_units(20 + 75)
            source.apply(EncoderDemand(2_000_000, every=1))
            await sink.has_units(20 + 120)
        return sink

    sink = asyncio.run(watch())
    assert len(sink.infos) == 1
    assert len(decode(unit.data for unit in sink.units)) == len(sink.units)
    thinned = sink.units[24:72]
    steps = [(after.captured_ns - before.captured_ns) / 1e6 for before, after in pairwise(thinned)]
    assert statistics.median(steps) == pytest.approx(100, abs=3)
    assert sum(abs(step - 100) < 40 for step in steps) >= 0.9 * len(steps), steps
    ticks = [after.timestamp - before.timestamp for before, after in pairwise(thinned)]
    assert ticks == pytest.approx([90 * step for step in steps], abs=2)
    keyframes = [unit.captured_ns / 1e9 for unit in sink.units if unit.keyframe]
    gaps = [after - before for before, after in pairwise(keyframes)]
    assert len(keyframes) >= 4
    assert max(gaps) < 2.2, f"seconds between keyframes: {gaps}"


def test_the_bitrate_is_that_of_the_seconds_not_of_the_pictures_that_are_left() -> None:
    footage = busy_footage()

    async def measure(every: int) -> float:
        sink, source = Recorder(), CaptureProcess("front", settings(source="file", path=str(footage)))
        async with running(source, sink):
            await sink.has_units(2)
            source.apply(EncoderDemand(600_000, every=every))
            await sink.has_units(2 + 60 // every)
            begin = len(sink.units)
            await sink.has_units(begin + 120 // every)
        units = sink.units[begin:]
        seconds = (units[-1].captured_ns - units[0].captured_ns) / 1e9
        return sum(len(unit.data) for unit in units[1:]) * 8 / seconds

    whole, half = asyncio.run(measure(1)), asyncio.run(measure(2))
    assert half == pytest.approx(whole, rel=0.25), f"{whole:.0f} bit/s of all pictures, {half:.0f} of half of them"
