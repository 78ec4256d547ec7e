"""The shared bitrate policy."""

from __future__ import annotations

from edgecam.media.bitrate import OPENING, BitratePolicy

FLOOR, CEILING = 300_000, 1_500_000


def policy(**viewers: int) -> BitratePolicy:
    merged = BitratePolicy(FLOOR, CEILING)
    merged.update(0.0, 0.0)
    for name, bps in viewers.items():
        merged.join(name, 0.0)
        merged.estimate(name, bps, OPENING + 1)
    return merged


def test_nobody_watching_means_the_ceiling() -> None:
    assert BitratePolicy(FLOOR, CEILING).update(1.0, 1e6) == CEILING


def test_one_slow_viewer_alone_gets_what_its_link_carries() -> None:
    assert 500_000 < policy(a=700_000).update(OPENING + 1, 1.4e6) < 700_000


def test_the_target_never_leaves_floor_and_ceiling() -> None:
    assert policy(a=1_000).update(OPENING + 1, 1.4e6) == FLOOR
    assert policy(a=10**9).update(OPENING + 1, 1.4e6) == CEILING


def test_an_opening_estimate_moves_nobody() -> None:
    merged = BitratePolicy(FLOOR, CEILING)
    merged.join("new", 0.0)
    merged.estimate("new", 93_000, 0.1)
    assert merged.update(0.2, 1.4e6) == CEILING


def test_of_three_viewers_one_slow_one_moves_nobody() -> None:
    assert policy(slow=100_000, a=5_000_000, b=5_000_000).update(OPENING + 1, 1.4e6) == CEILING


def test_a_viewer_that_left_or_fell_silent_is_forgotten() -> None:
    merged = policy(a=400_000)
    assert merged.update(OPENING + 1, 1.4e6) < 400_000
    merged.leave("a")
    assert merged.update(OPENING + 2, 0.4e6) > 400_000
    silent = policy(a=400_000)
    for second in range(40):
        last = silent.update(OPENING + 1 + second, 1.4e6)
    assert last == CEILING


def test_it_falls_at_once_and_climbs_slowly() -> None:
    merged = policy(a=500_000)
    low = merged.update(OPENING + 1, 1.4e6)
    merged.estimate("a", 5_000_000, OPENING + 2)
    climbed = merged.update(OPENING + 2, 0.45e6)
    assert low < climbed < low * 1.2


def test_an_estimate_that_only_mirrors_a_quiet_scene_does_not_hold_the_encoder_down() -> None:
    merged = policy(a=500_000)
    merged.update(OPENING + 1, 480_000)
    for step in range(20):
        now = OPENING + 2 + step
        merged.estimate("a", 300_000, now)
        last = merged.update(now, sent_bps=200_000)  # 1.5 times what is sent: the receiver's cap, not the link
    assert last == CEILING
