"""Viewers between the renditions of a camera, with units made by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from edgecam.health import HealthBoard
from edgecam.media import rendition
from edgecam.media.pipeline import Pipeline
from edgecam.media.types import (
    AccessUnit,
    Begin,
    CaptureReport,
    EncoderDemand,
    Limits,
    LowerRendition,
    StreamInfo,
    UnitSink,
)
from edgecam.settings import CameraSettings

LOWER = (LowerRendition(640, 360, 30, "libx264", "42c01e"), LowerRendition(320, 180, 30, "libx264", "42c00d"))


def info(lower: tuple[LowerRendition, ...] = LOWER) -> StreamInfo:
    return StreamInfo("test", "yuv420p", 1280, 720, 30, "libx264", "the test chose it", "42c01f", lower)


class Camera:
    """Gives a unit when told to."""

    def __init__(self) -> None:
        self.demands: list[EncoderDemand] = []
        settings = CameraSettings(source="test", bitrate_kbps=2000)
        self.pipeline = Pipeline("front", settings, self, HealthBoard().component("camera.front"))
        self.pipeline.opened(info())
        self._number = 0

    held_by: int | None = None

    async def run(self, sink: UnitSink, begin: Begin | None = None) -> None:
        raise AssertionError("not in these tests")

    def apply(self, demand: EncoderDemand) -> None:
        self.demands.append(demand)

    def picture(self, *renditions: int, keyframe: bool = False) -> None:
        self._number += 1
        now = time.monotonic_ns()
        for index in renditions:
            self.pipeline.unit(AccessUnit(b"unit", keyframe, self._number * 3000, now, now, index))

    def report(self) -> None:
        self.pipeline.report(CaptureReport(0, 0, 0, 0, 0.0))


class Viewer:
    def __init__(self, camera: Camera) -> None:
        self.got: list[AccessUnit] = []
        self.feed = camera.pipeline.attach(self.got.append)
        self.feed.start()

    @property
    def renditions(self) -> list[int]:
        return [unit.rendition for unit in self.got]


def in_a_loop(scenario: Callable[[], None]) -> Callable[[], None]:
    """The debounce needs a running loop."""

    def test() -> None:
        async def run() -> None:
            scenario()

        asyncio.run(run())

    test.__name__ = scenario.__name__
    return test


@in_a_loop
def test_the_old_rendition_goes_on_until_the_new_ones_keyframe() -> None:
    camera = Camera()
    viewer = Viewer(camera)
    camera.picture(0, keyframe=True)
    viewer.feed.available(600_000)
    assert any(demand.rendition == 1 and demand.keyframe for demand in camera.demands)
    camera.picture(0)
    camera.picture(0, 1)
    camera.picture(0, 1, keyframe=True)
    camera.picture(0, 1)
    assert viewer.renditions == [0, 0, 0, 0, 1, 1]
    stamps = [unit.timestamp for unit in viewer.got]
    assert stamps == sorted(set(stamps)), "the same picture in both renditions, and yet later"
    assert stamps[4] - stamps[3] == 1


@in_a_loop
def test_a_viewer_that_turns_back_half_way_stays_and_one_that_lagged_meanwhile_asks_again() -> None:
    camera = Camera()
    viewer = Viewer(camera)
    camera.picture(0, keyframe=True)
    viewer.feed.available(600_000)
    viewer.feed.lagged()
    camera.pipeline._move(viewer.feed, 0)
    asked = camera.pipeline.renditions[0].requests.asked
    assert asked >= 2, "the start, and after turning back"
    camera.picture(0, 1, keyframe=True)
    camera.picture(0, 1)
    assert viewer.renditions == [0, 0, 0]


@in_a_loop
def test_a_switch_to_a_rendition_that_others_watch_begins_with_their_young_keyframe() -> None:
    camera = Camera()
    first, second = Viewer(camera), Viewer(camera)
    camera.picture(0, keyframe=True)
    first.feed.available(600_000)
    camera.picture(0, 1, keyframe=True)
    sent = camera.pipeline.keyframe_requests.sent
    second.feed.available(600_000)
    assert second.renditions == [0, 0, 1]
    assert camera.pipeline.keyframe_requests.sent == sent


@in_a_loop
def test_renditions_that_a_restart_took_away_lose_their_viewers_to_the_last_one() -> None:
    camera = Camera()
    viewer = Viewer(camera)
    camera.picture(0, keyframe=True)
    viewer.feed.available(100_000)
    camera.picture(0, 2, keyframe=True)
    assert viewer.renditions[-1] == 2
    camera.pipeline.opened(info(LOWER[:1]))
    camera.picture(0, 1, keyframe=True)
    assert viewer.renditions[-1] == 1
    camera.pipeline.opened(info(()))
    camera.picture(0, keyframe=True)
    assert viewer.renditions[-1] == 0
    assert camera.pipeline.renditions[0].rung.floor_bps == 500_000, "the only one has the whole range"
    camera.pipeline.opened(info())
    camera.picture(0)
    viewer.feed.available(100_000)
    camera.picture(0, 2, keyframe=True)
    assert viewer.renditions[-1] == 2


def test_what_nobody_needs_is_stopped_after_a_while_and_the_full_size_runs_when_nobody_watches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rendition, "LINGER", 0.0)

    def scenario() -> None:
        camera = Camera()
        viewer = Viewer(camera)
        camera.picture(0, keyframe=True)
        viewer.feed.available(600_000)
        camera.picture(0, 1, keyframe=True)
        camera.report()
        assert camera.demands[-1] == EncoderDemand(0)
        assert [each.running for each in camera.pipeline.renditions] == [False, True, False]
        viewer.feed.close()
        assert EncoderDemand(2_000_000, ceiling_bps=2_000_000) in camera.demands
        assert camera.demands[-1] == EncoderDemand(0, rendition=1)

    in_a_loop(scenario)()


@in_a_loop
def test_a_closed_feed_is_given_nothing_not_even_the_rest_of_a_replay() -> None:
    camera = Camera()
    camera.picture(0, keyframe=True)
    camera.picture(0)
    got: list[AccessUnit] = []

    def take(unit: AccessUnit) -> None:
        got.append(unit)
        feed.close()

    feed = camera.pipeline.attach(take)
    feed.start()
    camera.picture(0)
    assert len(got) == 1
    assert camera.pipeline.subscribers == 0


@in_a_loop
def test_what_a_viewer_reports_after_it_was_closed_changes_nothing() -> None:
    camera = Camera()
    viewer = Viewer(camera)
    viewer.feed.close()
    camera.demands.clear()
    for bps in (60_000, 60_000, 3_000_000):
        viewer.feed.available(bps)
    viewer.feed.lagged()
    viewer.feed.request_keyframe()
    assert camera.demands == []
    assert [len(each.broadcaster.feeds) for each in camera.pipeline.renditions] == [0, 0, 0]


# what a governor allows


@in_a_loop
def test_limits_reach_every_encoder_that_runs_and_go_again() -> None:
    camera = Camera()
    viewer = Viewer(camera)
    camera.picture(0, keyframe=True)
    viewer.feed.available(600_000)
    camera.demands.clear()
    camera.pipeline.limit(Limits(fps=15, bitrate=0.5))
    told = {demand.rendition: demand for demand in camera.demands}
    assert {index: (d.bitrate_bps, d.every) for index, d in told.items()} == {0: (500_000, 2), 1: (250_000, 2)}
    assert [r.rung.floor_bps for r in camera.pipeline.renditions] == [250_000, 100_000, 50_000]
    camera.demands.clear()
    camera.pipeline.limit(Limits(fps=15, bitrate=0.5))
    assert not camera.demands, "nothing is said twice"
    camera.pipeline.limit(Limits())
    assert {(d.rendition, d.bitrate_bps, d.every) for d in camera.demands} == {(0, 1_000_000, 1), (1, 400_000, 1)}, "their floors"
    assert camera.pipeline.renditions[0].rung.ceiling_bps == 2_000_000, "from there it climbs as always"


@in_a_loop
def test_a_rendition_that_is_withheld_loses_its_viewers_to_the_next_and_gets_them_back() -> None:
    camera = Camera()
    known, unknown = Viewer(camera), Viewer(camera)
    camera.picture(0, keyframe=True)
    known.feed.available(5_000_000)
    camera.pipeline.limit(Limits(best_rendition=1))
    camera.picture(0)
    camera.picture(0, 1, keyframe=True)
    newcomer = Viewer(camera)
    camera.picture(1)
    assert known.renditions == unknown.renditions == [0, 0, 0, 1, 1]
    assert newcomer.renditions == [1, 1], "the young keyframe, and the next picture"
    known.feed.available(5_000_000)
    assert known.feed.destination == 1, "however much its link carries"
    assert camera.pipeline.best.index == 1
    assert camera.pipeline.last_keyframe is not None
    assert camera.pipeline.last_keyframe.rendition == 1, "what a snapshot shows"
    camera.pipeline.limit(Limits())
    camera.picture(0, 1, keyframe=True)
    assert unknown.renditions[-1] == 0
    assert known.renditions[-1] == 1, "a link that is known climbs when it has carried enough for a while"


@in_a_loop
def test_a_camera_with_one_size_keeps_it() -> None:
    camera = Camera()
    camera.pipeline.opened(info(()))
    viewer = Viewer(camera)
    camera.pipeline.limit(Limits(fps=10, best_rendition=2))
    camera.picture(0, keyframe=True)
    assert viewer.renditions == [0]
    assert camera.demands[-1].every == 3


@in_a_loop
def test_a_camera_that_comes_back_is_limited_at_once() -> None:
    camera = Camera()
    camera.pipeline.limit(Limits(fps=15, bitrate=0.5, best_rendition=1))
    camera.demands.clear()
    camera.pipeline.opened(info())
    assert {(d.rendition, d.bitrate_bps, d.every) for d in camera.demands} == {(0, 500_000, 2), (1, 250_000, 2)}


# what a new configuration changes


@in_a_loop
def test_another_ceiling_reaches_every_encoder_that_runs_and_the_limits_hold_all_the_same() -> None:
    camera = Camera()
    viewer = Viewer(camera)
    camera.picture(0, keyframe=True)
    viewer.feed.available(600_000)
    camera.pipeline.limit(Limits(bitrate=0.5))
    camera.demands.clear()
    camera.pipeline.reconfigure(CameraSettings(source="test", bitrate_kbps=4000, min_bitrate_kbps=700))
    told = {demand.rendition: demand for demand in camera.demands}
    assert {index: demand.ceiling_bps for index, demand in told.items()} == {0: 4_000_000, 1: 2_000_000}
    assert [(r.rung.floor_bps, r.rung.ceiling_bps) for r in camera.pipeline.renditions] == [
        (1_000_000, 2_000_000), (700_000, 1_000_000), (700_000, 700_000),
    ]  # fmt: skip
    assert told[1].bitrate_bps == 700_000, "no viewer pushes it below the floor"


@in_a_loop
def test_renditions_that_a_bitrate_makes_too_poor_give_their_viewers_to_the_last_that_is_left() -> None:
    camera = Camera()
    viewer = Viewer(camera)
    camera.picture(0, keyframe=True)
    viewer.feed.available(250_000)
    camera.picture(0, 2, keyframe=True)
    assert viewer.renditions[-1] == 2
    camera.demands.clear()
    camera.pipeline.reconfigure(CameraSettings(source="test", bitrate_kbps=300))
    assert len(camera.pipeline.renditions) == 2
    assert EncoderDemand(0, rendition=2) in camera.demands
    camera.picture(0, 1, 2, keyframe=True)
    assert viewer.renditions[-1] == 1
    camera.pipeline.reconfigure(CameraSettings(source="test", bitrate_kbps=2000))
    assert [(r.rung.width, r.rung.ceiling_bps) for r in camera.pipeline.renditions] == [
        (1280, 2_000_000), (640, 1_000_000), (320, 400_000),
    ]  # fmt: skip
    viewer.feed.available(100_000)
    camera.picture(0, 2, keyframe=True)
    assert viewer.renditions[-1] == 2


def test_pictures_stay_evenly_spaced_whatever_the_limit() -> None:
    fifteen = Limits(fps=15)
    assert [fifteen.every(fps) for fps in (5, 15, 15.4, 24, 29.97, 30, 31, 60)] == [1, 1, 1, 2, 2, 2, 3, 4]
    assert Limits().every(60) == 1
    both = Limits(fps=15, bitrate=0.8).with_those_of(Limits(bitrate=0.5, best_rendition=1))
    assert both == Limits(fps=15, bitrate=0.5, best_rendition=1)
