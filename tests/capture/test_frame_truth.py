"""Frozen, black and empty pictures are noticed in time; real footage, dark or still as it may be, never is."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from edgecam.capture import truth
from edgecam.capture.truth import PictureTruth, glance
from tests.capture.faults import FaultTable
from tests.fakes.v4l2 import FakeV4l2
from tests.harness.daemons import Daemon
from tests.harness.footage import surveillance_footage
from tests.harness.waiting import until

SECOND = 1_000_000_000
WIDTH, HEIGHT = 640, 480


def grey(width: int, height: int, luma: bytes) -> av.VideoFrame:
    """A picture of these brightnesses, without colour."""
    frame = av.VideoFrame(width, height, "yuv420p")
    for index, plane in enumerate(frame.planes):
        if index:
            plane.update(b"\x80" * plane.buffer_size)
            continue
        rows = (luma[at : at + width] for at in range(0, width * height, width))
        plane.update(b"".join(row.ljust(plane.line_size, b"\0") for row in rows))
    return frame


def luma_of(frame: av.VideoFrame) -> bytes:
    plane = frame.planes[0]
    data = bytes(plane)
    return b"".join(data[at : at + frame.width] for at in range(0, frame.height * plane.line_size, plane.line_size))


def noisy(luma: bytes, dice: random.Random, most: int) -> bytes:
    """The same with a sensor's noise: up to `most` steps more in each pixel."""
    noise = bytes(value % (most + 1) for value in dice.randbytes(len(luma)))
    total = int.from_bytes(luma, "little") + int.from_bytes(noise, "little")  # no pixel overflows into the next
    return total.to_bytes(len(luma), "little")


def darkened(share: float) -> bytes:
    """A table for bytes.translate: brightness above black, times `share`."""
    return bytes(min(240, 16 + round(max(0, value - 16) * share)) for value in range(256))


def states(frames: Iterator[av.VideoFrame], every_ns: int) -> list[str]:
    """What is said while they are shown; `every_ns` from one to the next."""
    looking, said = PictureTruth(), [truth.UNKNOWN]
    for number, frame in enumerate(frames):
        looking.see(frame, number * every_ns)
        if looking.state != said[-1]:
            said.append(looking.state)
    return said


def footage() -> Iterator[av.VideoFrame]:
    with av.open(str(surveillance_footage())) as film:
        yield from film.decode(video=0)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.2, 0.08])
def test_real_footage_is_never_suspected_however_dark(share: float) -> None:
    table, dice = darkened(share), random.Random(7)

    def night() -> Iterator[av.VideoFrame]:
        # Each second is looked at once; what is not looked at need not be made.
        for number, frame in enumerate(footage()):
            if number % 10 == 0:
                yield grey(frame.width, frame.height, noisy(luma_of(frame).translate(table), dice, 3))

    assert states(night(), SECOND) == [truth.UNKNOWN, truth.GOOD]


def test_the_recording_as_it_is_has_no_alarm_in_its_whole_length() -> None:
    assert states(footage(), SECOND // 10) == [truth.UNKNOWN, truth.GOOD]


def test_a_scene_in_which_nothing_moves_is_told_from_a_dead_camera_by_its_noise() -> None:
    luma, dice = luma_of(next(footage())).translate(darkened(0.3)), random.Random(3)
    frame = next(footage())

    def still(most: int) -> Iterator[av.VideoFrame]:
        return (grey(frame.width, frame.height, noisy(luma, dice, most)) for _ in range(60))

    assert states(still(1), SECOND) == [truth.UNKNOWN, truth.GOOD], "noise of one step"
    assert states(still(0), SECOND) == [truth.UNKNOWN, truth.FROZEN], "none at all"


def test_a_picture_is_frozen_after_ten_seconds_and_good_with_the_first_new_one() -> None:
    first, second = (grey(WIDTH, HEIGHT, random.Random(seed).randbytes(WIDTH * HEIGHT)) for seed in (1, 2))
    looking, at = PictureTruth(), 0
    for at in range(0, 15 * SECOND, SECOND // 30):
        looking.see(first, at)
        if looking.state == truth.FROZEN:
            break
    assert 10 * SECOND <= at <= 12 * SECOND
    shown = at
    while looking.state == truth.FROZEN:
        at += SECOND // 30
        looking.see(second, at)
    assert at - shown < SECOND // 3


def test_a_driver_that_gives_its_last_buffers_in_turn_is_frozen_too() -> None:
    buffers = [grey(WIDTH, HEIGHT, random.Random(seed).randbytes(WIDTH * HEIGHT)) for seed in range(4)]
    assert states((buffers[n % 4] for n in range(20 * 30)), SECOND // 30)[-1] == truth.FROZEN


def test_a_short_film_that_is_looped_is_not_frozen() -> None:
    film = [grey(WIDTH, HEIGHT, random.Random(seed).randbytes(WIDTH * HEIGHT)) for seed in range(60)]
    assert states((film[n % 60] for n in range(60 * 30)), SECOND // 30) == [truth.UNKNOWN, truth.GOOD], "two seconds at 30"


@pytest.mark.parametrize("noise", [0, 3, 12])
def test_a_covered_lens_is_black_after_five_seconds(noise: int) -> None:
    dice = random.Random(5)
    dark = bytes([16]) * (WIDTH * HEIGHT)
    looking = PictureTruth()
    for second in range(7):
        assert (looking.state == truth.BLACK) == (second > 5), second
        looking.see(grey(WIDTH, HEIGHT, noisy(dark, dice, noise)), second * SECOND)
    looking.see(next(footage()), 7 * SECOND)
    assert looking.state == truth.GOOD


def test_a_few_lights_in_the_night_are_something_to_see() -> None:
    luma = bytearray([17]) * (WIDTH * HEIGHT)
    for row in range(200, 240):
        luma[row * WIDTH + 300 : row * WIDTH + 340] = bytes([200]) * 40
    assert not glance(grey(WIDTH, HEIGHT, bytes(luma))).black


@pytest.mark.parametrize("picture", [bytes([90]) * WIDTH, bytes(40 + 25 * (x * 8 // WIDTH) for x in range(WIDTH))])
def test_one_colour_and_colour_bars_are_no_signal(picture: bytes) -> None:
    frame = grey(WIDTH, HEIGHT, picture * HEIGHT)
    assert states((frame for _ in range(9)), SECOND) == [truth.UNKNOWN, truth.NO_SIGNAL]


# the whole way, from a camera to the board


@pytest.fixture
def daemon(raw_camera: FakeV4l2, tmp_path: Path) -> Iterator[Daemon]:
    config = {"camera": {"front": {"device": str(raw_camera.device), "quality": "low", "input_format": "yuyv"}}}
    with Daemon(config, tmp_path / "state", env=raw_camera.env) as daemon:
        daemon.wait_camera("front", condition="running")
        yield daemon


def test_the_board_says_what_there_is_to_see_and_a_sensor_that_hangs_is_opened_anew(
    raw_camera: FakeV4l2, daemon: Daemon, faults: FaultTable
) -> None:
    raw_camera.set("black")
    daemon.wait_camera("front", condition="degraded", code="black-picture", within=9)
    assert daemon.get("/readyz").status == 200, "it works, and there is nothing to see"
    raw_camera.set("ok")
    daemon.wait_camera("front", condition="running", within=3)
    (child,) = daemon.capture_processes
    raw_camera.set("sticks")
    daemon.wait_camera("front", condition="degraded", code="frozen-picture", within=14)
    assert daemon.capture_processes == [child]
    known = time.monotonic()
    until(lambda: daemon.capture_processes not in ([], [child]), within=9, what="the camera opened anew")
    daemon.wait_camera("front", condition="running", within=6)
    faults.measured("frozen, from when it is said", time.monotonic() - known, within=9 + 6)
    assert daemon.camera("front")["restarts"] == 1
