"""The policy of heat, voltage and memory on simulated machines: it steps down in time, and does not flap."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest

from edgecam.governors.heat import Heat
from edgecam.governors.memory import Memory
from edgecam.governors.power import Power
from edgecam.governors.shortage import Shortage
from edgecam.governors.steps import Steps, heat_ladder
from edgecam.governors.temperature import Temperature

EVERY = 5.0  # seconds between two looks
RECOVER = 120.0
LADDER = heat_ladder(5)
LAST = len(LADDER) - 1


def heat(limit: float | None = 75) -> Heat:
    return Heat(limit, 5, Steps(LAST, RECOVER))


def levels(policy: Heat, celsius: Callable[[float], float], seconds: float) -> list[int]:
    """What it says at each look, from a temperature that is a function of time."""
    times = [number * EVERY for number in range(int(seconds / EVERY))]
    return [policy.judge(Temperature(celsius(now), "cpu-thermal"), None, now) for now in times]


def changes(found: Sequence[int]) -> int:
    return sum(a != b for a, b in pairwise(found))


def turns(found: Sequence[int]) -> int:
    """How often the direction changed: what a viewer sees as flapping."""
    moves = [b - a for a, b in pairwise(found) if a != b]
    return sum(a * b < 0 for a, b in pairwise(moves))


def test_pictures_go_first_then_bits_then_size() -> None:
    fps = [limits.fps or 99 for limits in LADDER]
    bits = [limits.bitrate for limits in LADDER]
    best = [limits.best_rendition for limits in LADDER]
    assert fps == sorted(fps, reverse=True)
    assert bits == sorted(bits, reverse=True)
    assert best == sorted(best)
    assert fps.index(10) < bits.index(0.6) < best.index(1)
    assert [limits.fps for limits in heat_ladder(12)][1:] == [15, 12, 12, 12, 12, 12]


def test_a_ramp_up_and_down_goes_down_the_ladder_once_and_up_once() -> None:
    """60 to 78 degrees in half an hour, half an hour there, back to 60 in half an hour, an hour there."""

    def celsius(now: float) -> float:
        minutes = now / 60
        if minutes < 30:
            return 60 + 18 * minutes / 30
        return 78 if minutes < 60 else max(60, 78 - 18 * (minutes - 60) / 30)

    found = levels(heat(), celsius, 9000)
    assert max(found) == LAST, "it stayed hot for half an hour"
    assert found[-1] == 0
    assert changes(found) == 2 * LAST
    assert turns(found) == 1
    begun = next(index for index, level in enumerate(found) if level) * EVERY
    assert celsius(begun) == pytest.approx(75, abs=0.2)
    back = max(index for index, level in enumerate(found) if level == LAST) * EVERY
    assert celsius(back) < 70, "not before it is five degrees cooler"


@pytest.mark.parametrize("middle", [69, 70, 72, 74, 75, 76])
def test_noise_around_a_threshold_never_makes_it_turn(middle: float) -> None:
    noise = random.Random(7)
    found = levels(heat(), lambda _now: noise.gauss(middle, 1.0), 8 * 3600)
    assert turns(found) <= 2, found
    assert changes(found) <= LAST + 2


def test_one_wrong_reading_is_nothing() -> None:
    spikes = {100.0, 700.0, 1900.0}
    assert max(levels(heat(), lambda now: 120 if now in spikes else 55, 3600)) == 0


@pytest.mark.parametrize("minutes", [2, 4, 10, 20])
def test_a_sawtooth_makes_it_climb_more_and_more_seldom(minutes: float) -> None:
    """65 to 80 degrees and back, for eight hours: the machine is that hot whatever the governor does."""
    period = minutes * 60
    found = levels(heat(), lambda now: 65 + 30 * abs((now / period) % 1 - 0.5), 8 * 3600)
    assert turns(found) <= 24, "of 48 to 480 that the temperature itself makes"
    late = found[len(found) // 2 :]
    assert turns(late) <= 8


def test_a_real_device_settles_instead_of_hunting() -> None:
    """Ten minutes from cold to its final temperature, which each step lowers: 84 degrees without limits, 71 at the last."""
    policy, temperature, found = heat(), 50.0, []
    for number in range(int(8 * 3600 / EVERY)):
        final = 84 - 13 * policy.steps.level / LAST
        temperature += (final - temperature) * (1 - math.exp(-EVERY / 200))
        found.append(policy.judge(Temperature(temperature, "cpu-thermal"), None, number * EVERY))
    settled = found[len(found) // 4 :]
    assert max(found) <= LAST
    assert turns(settled) <= 4, "it found its place"
    assert min(settled) >= 1


def test_six_degrees_more_are_urgent() -> None:
    slow, fast = heat(), heat()
    usual = levels(slow, lambda _: 76, 600).index(LAST) * EVERY
    urgent = levels(fast, lambda _: 85, 600).index(LAST) * EVERY
    assert usual >= 5 * 30
    assert urgent <= 60


def test_undervoltage_steps_down_at_once_and_recovery_is_slow() -> None:
    policy = heat()
    cool = Temperature(50, "cpu-thermal")
    assert policy.judge(cool, Power(low=False), 0) == 0
    assert policy.judge(cool, Power(low=True), 5) == 2
    # It comes and goes: as long as it does, nothing climbs.
    now, found = 5.0, []
    while now < 600:
        now += EVERY
        found.append(policy.judge(cool, Power(low=int(now) % 60 == 0), now))
    assert set(found) == {2}
    begun = now
    while policy.judge(cool, Power(low=False), now):
        now += EVERY
    assert now - begun == pytest.approx(2 * RECOVER, abs=4 * EVERY)


def test_a_processor_that_the_firmware_slows_down_counts_as_hot() -> None:
    policy = heat()
    found = [policy.judge(None, Power(low=False, slowed=True), number * EVERY) for number in range(40)]
    assert found[0] == 1
    assert found[-1] == LAST


def test_a_sensor_that_goes_leaves_no_step_behind_for_ever() -> None:
    policy = heat()
    assert levels(policy, lambda _: 90, 600)[-1] == LAST
    assert policy.judge(None, None, 600) == LAST
    found = [policy.judge(None, None, 600 + number * EVERY) for number in range(1000)]
    assert found[-1] == 0


def test_too_little_memory_is_told_at_once_and_over_when_there_is_clearly_more() -> None:
    shortage = Shortage(32_000_000, Steps(LAST, RECOVER))
    for now, available, stalled, low in (
        (0, 50_000_000, 0.0, False),
        (5, 31_000_000, 0.0, True),
        (10, 40_000_000, 0.0, True),
        (15, 31_900_000, 0.0, True),
        (20, 60_000_000, 0.0, False),
        (25, 40_000_000, 0.0, False),
        (30, 60_000_000, 30.0, True),
        (35, 60_000_000, 12.0, True),
        (40, 60_000_000, 3.0, False),
    ):
        level = shortage.judge(Memory(available, stalled=stalled), now)
        assert shortage.low is low, now
        assert level == (3 if now >= 5 else 0)
    assert shortage.steps.changes == 1
    never = Shortage(0, Steps(LAST, RECOVER))
    assert never.judge(Memory(1), 0) == 0
