"""RTP time is the sensor's, for ever: no drift, no jump when a camera begins anew, never back."""

from __future__ import annotations

import itertools
import random
import time

import pytest

from edgecam.capture.arrivals import ArrivalClock
from edgecam.capture.capturetime import v4l2_time, wall_time
from edgecam.capture.childlink import Timestamps
from edgecam.media.types import RTP_CLOCK

HOUR_NS = 3600 * 10**9
PERIOD_NS = 33_366_667  # 29.97 fps


def ticks_of(ns: int) -> float:
    return ns * RTP_CLOCK / 1e9


def test_an_hour_of_a_sensors_times_does_not_drift_by_a_tick_nor_shake() -> None:
    """The driver's microseconds, whatever late wake-ups and load do to the arrival."""
    dice, stamps, begun_ns = random.Random(1), Timestamps(), 7_000_000_000_000
    ticks = []
    for number in range(HOUR_NS // PERIOD_NS):
        sensor_ns = begun_ns + number * PERIOD_NS
        arrived_ns = sensor_ns + 8_000_000 + round(dice.expovariate(1 / 5_000_000))
        ticks.append(stamps.next(v4l2_time(sensor_ns // 1000, arrived_ns)))
    assert abs(ticks[-1] - ticks[0] - ticks_of((len(ticks) - 1) * PERIOD_NS)) <= 1
    steps = {after - before for before, after in itertools.pairwise(ticks)}
    assert steps <= {3002, 3003, 3004}


@pytest.mark.parametrize("ppm", [-100, 0, 100])
def test_an_hour_of_a_clock_of_the_cameras_own_follows_this_machines(ppm: int) -> None:
    """A network camera's time runs at its own rate, its packets wait in queues: after an hour the error is still a few milliseconds."""
    dice, clock = random.Random(2), ArrivalClock()
    worst_ns, before = 0, 0
    for number in range(HOUR_NS // PERIOD_NS):
        true_ns = number * PERIOD_NS
        media_ns = round(true_ns * (1 + ppm * 1e-6))
        arrived_ns = true_ns + 10_000_000 + round(dice.expovariate(1 / 4_000_000))
        captured_ns = clock.captured_ns(media_ns, arrived_ns)
        assert captured_ns > before
        before = captured_ns
        if number > 300:
            worst_ns = max(worst_ns, abs(captured_ns - true_ns - 10_000_000))
    assert worst_ns < 6_000_000


def test_after_a_restart_time_goes_on_by_as_much_as_has_passed() -> None:
    """The driver counts its sequence anew, and its clock is the machine's: the gap in RTP time is the gap there was."""
    stamps, away_ns = Timestamps(), 3_700_000_000
    last_ns = 10**12 + 99 * PERIOD_NS
    before = [stamps.next(10**12 + number * PERIOD_NS) for number in range(100)]
    after = [stamps.next(last_ns + away_ns + number * PERIOD_NS) for number in range(100)]
    assert abs(after[0] - before[-1] - ticks_of(away_ns)) <= 1
    assert before + after == sorted(set(before + after))


def test_a_driver_that_steps_back_or_is_of_another_clock_after_a_restart_makes_no_jump() -> None:
    stamps, now_ns = Timestamps(), 10**13
    before = [stamps.next(v4l2_time((now_ns + number * PERIOD_NS) // 1000, now_ns + number * PERIOD_NS)) for number in range(10)]
    begins_ns = now_ns + 10 * PERIOD_NS
    after = []
    for number in range(10):
        arrived_ns = begins_ns + number * PERIOD_NS
        after.append(stamps.next(v4l2_time(number * PERIOD_NS // 1000, arrived_ns)))  # counts from when it was opened
    whole = before + after
    assert whole == sorted(set(whole))
    assert all(2900 < b - a < 3100 for a, b in itertools.pairwise(whole))


def test_a_wall_clocks_time_is_believed_of_the_last_seconds_and_never_of_the_future() -> None:
    now_ns, wall_ns = time.monotonic_ns(), time.time_ns()
    assert wall_time(wall_ns - 40_000_000, now_ns) == pytest.approx(now_ns - 40_000_000, abs=20_000_000)
    assert wall_time(wall_ns - 60_000_000_000, now_ns) == now_ns
    assert wall_time(wall_ns + 60_000_000_000, now_ns) == now_ns
    assert wall_time(now_ns, now_ns) == now_ns  # of another clock
    assert all(wall_time(time.time_ns() + ahead, now_ns) <= now_ns for ahead in range(0, 5_000_000, 100_000))
