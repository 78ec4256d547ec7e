"""A rendition's bitrate policy."""

from __future__ import annotations

import pytest

from edgecam.media.bitrate import NEAR, BitratePolicy

FLOOR, CEILING = 300_000, 1_500_000


def policy(*available: int, lowest: bool = True) -> BitratePolicy:
    merged = BitratePolicy(FLOOR, CEILING, lowest=lowest)
    merged.update(available, 1.0)
    return merged


def test_nobody_watching_means_the_ceiling() -> None:
    assert policy().target_bps == CEILING


@pytest.mark.parametrize("lowest", [True, False])
def test_one_viewer_alone_gets_what_its_link_carries(lowest: bool) -> None:
    assert policy(700_000, lowest=lowest).target_bps == 700_000


@pytest.mark.parametrize(("available", "target"), [(0, FLOOR), (1_000, FLOOR), (10**9, CEILING)])
def test_the_target_never_leaves_floor_and_ceiling(available: int, target: int) -> None:
    assert policy(available).target_bps == target


def test_a_slow_viewer_moves_nobody_and_belongs_elsewhere() -> None:
    for others in ((5_000_000,), (5_000_000,) * 2, (5_000_000,) * 4):
        merged = policy(600_000, *others, lowest=False)
        assert merged.target_bps == CEILING
        assert merged.need_bps == pytest.approx(NEAR * CEILING, abs=1)


def test_where_nobody_can_be_sent_away_the_slower_of_two_leads_and_one_of_three_does_not() -> None:
    assert policy(600_000, 5_000_000).target_bps == 600_000
    assert policy(600_000, 5_000_000, 5_000_000).target_bps == CEILING
    assert policy(600_000, 5_000_000).need_bps == 0


def test_viewers_of_about_the_same_link_all_stay_and_are_given_what_the_slowest_carries() -> None:
    merged = policy(1_300_000, 1_350_000, 1_400_000, lowest=False)
    assert merged.target_bps == 1_300_000
    assert merged.need_bps <= 1_300_000


def test_it_falls_at_once_and_climbs_slowly() -> None:
    merged = policy(500_000)
    assert merged.target_bps == 500_000
    assert 500_000 < merged.update([5_000_000], 2.0) < 500_000 * 1.2
    for second in range(3, 12):
        merged.update([5_000_000], second)
    assert merged.target_bps == CEILING


def test_once_nobody_watches_the_next_one_begins_at_the_ceiling() -> None:
    merged = policy(500_000, lowest=False)
    merged.reset()
    assert (merged.target_bps, merged.need_bps) == (CEILING, FLOOR)
