"""Thinning pictures out."""

from __future__ import annotations

import random

import pytest

from edgecam.capture.pacing import RateCap


@pytest.mark.parametrize(
    ("source_fps", "cap_fps", "expected_fps"), [(30, 30, 30), (30, 24, 24), (30, 20, 20), (25, 30, 25), (30, 10, 10)]
)
def test_the_rate_is_capped_without_losing_more_than_needed(
    source_fps: float, cap_fps: float, expected_fps: float
) -> None:
    rng = random.Random(2)
    cap = RateCap(cap_fps)
    jitter = 2_000_000  # ns
    start = 10**12
    times = [start + int(n * 1e9 / source_fps) + rng.randint(-jitter, jitter) for n in range(int(source_fps * 60))]
    assert sum(map(cap.passes, times)) / 60 == pytest.approx(expected_fps, rel=0.01)


def test_a_pause_of_the_source_is_not_made_up_for() -> None:
    cap = RateCap(10)
    assert cap.passes(10**9)
    later = 100 * 10**9
    passed = [cap.passes(later + n * 10_000_000) for n in range(100)]  # 100 fps for one second
    assert sum(passed) <= 11
