"""The test picture, before any encoder."""

from __future__ import annotations

import itertools
import time

import pytest

from edgecam.capture.testsrc import Picture, TestSource
from tests.capture.watching import read_clock_strip


@pytest.mark.parametrize(
    "size", [(64, 64), (160, 120), (320, 240), (640, 480), (854, 480), (1280, 720), (1920, 1080), (720, 1280)]
)
def test_the_clock_strip_reads_back_at_every_size(size: tuple[int, int]) -> None:
    picture = Picture(*size, "Café, door 1", 29.7)
    canvas = picture.canvas()
    for number, wall_ms in enumerate((0, 1, 0xFFFFFFFF, 1_790_000_000_123, 1_790_000_000_156)):
        picture.draw(canvas, number, wall_ms * 1_000_000)
        assert read_clock_strip(canvas.frame) == wall_ms % 2**32


def test_the_strip_has_neutral_colour_and_full_contrast() -> None:
    picture = Picture(1280, 720, "door", 30)
    canvas = picture.canvas()
    picture.draw(canvas, 0, time.time_ns())
    q = 1280 // 40
    for plane in (canvas.cb, canvas.cr):
        for y in (0, q - 1):
            assert set(plane.bytes[y * plane.stride : y * plane.stride + 16 * q]) == {128}
    luma = canvas.luma
    assert set(luma.bytes[: 32 * q]) == {16, 235}
    assert set(luma.bytes[(2 * q - 1) * luma.stride : (2 * q - 1) * luma.stride + 32 * q]) == {16, 235}


def test_what_moves_leaves_nothing_behind() -> None:
    picture = Picture(640, 480, "door", 30)
    worn, fresh = picture.canvas(), picture.canvas()
    for number in range(90):
        picture.draw(worn, number, number * 33_333_333)
    picture.draw(fresh, 89, 89 * 33_333_333)
    for mine, other in zip(worn.planes, fresh.planes, strict=True):
        assert bytes(mine.bytes) == bytes(other.bytes)


def test_pictures_differ_from_one_to_the_next() -> None:
    picture = Picture(640, 480, "door", 30)
    canvas = picture.canvas()
    seen = set()
    for number in range(10):
        picture.draw(canvas, number, number * 33_333_333)
        seen.add(bytes(canvas.luma.bytes))
    assert len(seen) == 10


@pytest.mark.parametrize("fps", [29.7, 15])
def test_pictures_are_paced_without_drift(fps: float) -> None:
    source = TestSource(320, 240, fps, "door")
    source.open()
    times = []
    for captured in itertools.islice(source.frames(), round(fps)):
        assert captured is not None
        times.append(captured.captured_ns)
        captured.release()
    source.close()
    assert times == sorted(set(times))
    periods = [(time_ns - times[0]) * fps / 1e9 for time_ns in times]
    # Never faster; a busy machine is late or loses some, and then is back on the same grid.
    assert len(times) - 2 <= periods[-1] < 2 * len(times)
    assert min(abs(passed - round(passed)) for passed in periods[-8:]) < 0.1
