"""Which renditions there are, and on which of them a viewer belongs."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from edgecam.media.ladder import FAILED_WITHIN, MARGIN, MAX_PATIENCE, PATIENCE, Placement, rungs

NEEDS = (1_000_000, 400_000, 0)


def test_a_720p_camera_has_three_renditions_whose_bitrates_adjoin() -> None:
    full, half, quarter = rungs(1280, 720, 30, 2_000_000, None, 3)
    assert [(r.width, r.height) for r in (full, half, quarter)] == [(1280, 720), (640, 360), (320, 180)]
    assert (full.ceiling_bps, full.floor_bps) == (2_000_000, 1_000_000)
    assert (half.ceiling_bps, half.floor_bps) == (1_000_000, 400_000)
    assert (quarter.ceiling_bps, quarter.floor_bps) == (400_000, 160_000)


def test_one_rendition_has_the_whole_range_to_itself() -> None:
    for ladder in (rungs(1280, 720, 30, 2_000_000, None, 1), rungs(160, 120, 30, 2_000_000, None, 3)):
        assert [(r.floor_bps, r.ceiling_bps) for r in ladder] == [(500_000, 2_000_000)]


def test_small_or_poor_pictures_have_fewer_renditions() -> None:
    assert len(rungs(640, 480, 15, 300_000, None, 3)) == 2
    assert len(rungs(1280, 720, 30, 400_000, None, 3)) == 2
    assert len(rungs(1280, 720, 30, 150_000, None, 3)) == 1


def test_sizes_are_even_and_no_rendition_is_below_the_configured_floor() -> None:
    rng = random.Random(4)
    for _ in range(500):
        width, height = rng.randrange(64, 4096, 2), rng.randrange(64, 4096, 2)
        ceiling = rng.randrange(50_000, 50_000_000, 1000)
        floor = rng.choice([None, rng.randrange(50_000, ceiling + 1)])
        ladder = rungs(width, height, 30, ceiling, floor, rng.choice([1, 2, 3]))
        assert (ladder[0].width, ladder[0].height, ladder[0].ceiling_bps) == (width, height, ceiling)
        for rung in ladder:
            assert rung.width % 2 == rung.height % 2 == 0
            assert max(floor or 50_000, 1) <= rung.floor_bps <= rung.ceiling_bps
        for above, below in pairwise(ladder):
            assert above.ceiling_bps > below.ceiling_bps


def run(placement: Placement, available: int, begin: float, seconds: float) -> tuple[float | None, int]:
    """(when it first changed, where it ended) with a report every 0.2 s."""
    before, changed = placement.index, None
    for step in range(round(seconds * 5) + 1):
        index = placement.decide(available, NEEDS, begin + step / 5)
        if changed is None and index != before:
            changed = step / 5
    return changed, placement.index


def test_it_goes_down_at_once_as_far_as_needed() -> None:
    for available, index in ((900_000, 1), (399_999, 2), (0, 2)):
        assert run(Placement(), available, 0, 0) == (0, index)


def test_it_goes_up_when_the_link_has_carried_clearly_more_for_a_while() -> None:
    placement = Placement()
    run(placement, 100_000, 0, 0)
    assert run(placement, int(MARGIN * NEEDS[1]) - 1, 100, 60) == (None, 2)
    changed, index = run(placement, 5_000_000, 200, 10)
    assert index == 0, "over the one between, if the link carries the best"
    assert changed == pytest.approx(PATIENCE, abs=0.3)


def test_a_moment_below_begins_the_wait_anew() -> None:
    placement = Placement()
    run(placement, 500_000, 0, 0)
    run(placement, 2_000_000, 100, PATIENCE - 0.5)
    run(placement, 1_050_000, 100 + PATIENCE - 0.4, 0)
    assert run(placement, 2_000_000, 100 + PATIENCE, PATIENCE - 0.5)[0] is None


def test_each_climb_that_fails_makes_the_next_one_wait_longer() -> None:
    placement, now, waits = Placement(), 100.0, []
    run(placement, 500_000, now, 0)
    for _ in range(8):
        waited = next(n / 5 for n in range(500) if placement.decide(2_000_000, NEEDS, now + n / 5) == 0)
        waits.append(waited)
        now += waited + 1
        assert run(placement, 500_000, now, 0) == (0, 1)
    assert waits == sorted(waits)
    assert waits[1] == pytest.approx(2 * PATIENCE, abs=0.4)
    assert waits[-1] == pytest.approx(MAX_PATIENCE, abs=0.4)


def test_a_link_that_swings_by_a_third_does_not_make_the_picture_flap() -> None:
    rng, placement, changes = random.Random(1), Placement(), 0
    for step in range(5 * 600):  # ten minutes
        before = placement.index
        changes += placement.decide(rng.choice([850_000, 1_300_000]), NEEDS, step / 5) != before
    assert changes == 1
    assert FAILED_WITHIN > PATIENCE


def test_fewer_renditions_after_a_restart_are_no_trouble() -> None:
    placement = Placement()
    run(placement, 100_000, 0, 0)
    assert placement.decide(2_000_000, (1_000_000, 0), 1) == 1
    assert Placement().decide(0, (0,), 0) == 0
