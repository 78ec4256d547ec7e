"""A viewer's link found out from its reports: the loop closed over a simulated link, and what may not confuse it."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from edgecam.rtc.congestion import FLOOR_BPS, REMB_PATIENCE, REMB_SPACING, LinkEstimate
from edgecam.rtc.delivery import Delivery
from tests.rtc.linksim import Loop, Sample

TOP = 2  # the best rendition
GOOD, BAD = 4e6, 6e5  # bit/s


def settled(samples: list[Sample]) -> list[Sample]:
    """The samples after the first five seconds."""
    return [sample for sample in samples if sample.at > samples[0].at + 5]


@pytest.mark.parametrize("queue_ms", [100.0, 300.0, 20_000.0], ids=lambda ms: f"queue of {ms:g} ms")
def test_a_link_that_falls_to_a_seventh_and_comes_back(queue_ms: float) -> None:
    loop = Loop(rate_bps=GOOD, queue_ms=queue_ms)
    assert {sample.rendition for sample in loop.run(10)} == {TOP}
    loop.rate_bps = BAD
    down = loop.run(25)
    assert max(sample.picture_gap for sample in down) < 1.0
    assert max(sample.queue_ms for sample in settled(down)) < 200
    assert max(sample.rendition for sample in settled(down)) < TOP
    assert max(sample.sent_bps for sample in settled(down)) < BAD * 1.25  # probes, for a second
    loop.rate_bps = GOOD
    up = loop.run(20)
    assert next(s.at for s in up if s.rendition == TOP) - up[0].at < 13
    assert {sample.rendition for sample in up if sample.at > up[0].at + 15} == {TOP}


def test_the_same_with_a_viewer_that_only_reports_once_a_second() -> None:
    loop = Loop(rate_bps=GOOD, report_every=1.0)
    loop.run(10)
    loop.rate_bps = BAD
    down = loop.run(25)
    assert max(sample.queue_ms for sample in settled(down)) < 450  # a probe cannot be stopped early
    loop.rate_bps = GOOD
    assert loop.run(25)[-1].rendition == TOP


def test_a_probe_that_fails_on_the_way_up_is_soon_repeated_and_the_first_ones_ever_less_often() -> None:
    loop = Loop(rate_bps=BAD, queue_ms=20_000.0)
    loop.run(60)
    rare = [s.at for s in loop.samples if s.queue_ms > 60 and s.at > 130]
    assert sum(later - earlier > 3 for earlier, later in pairwise(rare)) >= 4, "a full link is left alone for seconds"
    loop.rate_bps = GOOD
    while loop.link.available_bps < 700_000:
        loop.run(0.1)
    loop.link.probing.fail(loop.now)  # by chance
    begun = loop.now
    while loop.link.available_bps < 1_900_000:
        loop.run(0.1)
    assert loop.now - begun < 6


def test_a_link_that_was_full_lately_is_not_given_a_burst_for_a_minute() -> None:
    loop = Loop(rate_bps=GOOD)
    loop.run(5)
    assert not loop.link.wary(loop.now)
    loop.rate_bps = BAD
    loop.run(10)
    loop.rate_bps = GOOD
    loop.run(20)
    assert loop.link.available_bps > 1_900_000
    assert loop.link.wary(loop.now)
    assert not loop.link.wary(loop.now + 60)


@pytest.mark.parametrize("loss", [0.01, 0.05, 0.08])
def test_random_loss_is_not_congestion(loss: float) -> None:
    assert {sample.rendition for sample in Loop(loss=loss).run(60)} == {TOP}


@pytest.mark.parametrize("report_every", [0.2, 1.0])
@pytest.mark.parametrize("jitter", [0.02, 0.04])
def test_jitter_is_not_congestion(jitter: float, report_every: float) -> None:
    assert {sample.rendition for sample in Loop(jitter=jitter, loss=0.02, report_every=report_every).run(60)} == {TOP}


def test_a_longer_way_is_understood_as_such() -> None:
    loop = Loop(rate_bps=GOOD)
    loop.run(10)
    loop.delay += 0.2
    assert {sample.rendition for sample in loop.run(15) if sample.at > 115} == {TOP}


def test_a_link_that_always_was_slow_is_found_out() -> None:
    loop = Loop(rate_bps=900_000)
    loop.run(20)
    samples = loop.run(20)
    assert max(sample.queue_ms for sample in samples) < 200
    assert sum(sample.rendition == 1 for sample in samples) > len(samples) / 2, "the middle rendition would fit"


def test_a_viewer_that_gets_what_is_wanted_is_never_probed() -> None:
    loop = Loop(rate_bps=GOOD)
    loop.run(30)
    assert loop.padding_sent == 0


def test_beyond_what_the_camera_gives_nothing_is_found_out_and_nothing_forgotten() -> None:
    loop = Loop(rate_bps=900_000)
    loop.run(20)
    loop.link.enough_bps = 300_000
    loop.run(2)
    padded, known = loop.padding_sent, loop.link.available_bps
    assert padded > 0
    loop.run(20)
    assert loop.padding_sent == padded
    assert loop.link.available_bps == pytest.approx(known, rel=0.2)
    loop.link.enough_bps = loop.link.wanted_bps
    loop.run(20)
    assert loop.padding_sent > padded


@pytest.mark.parametrize("bps", [0, 1, 2**63, 10_000_000_000])
def test_a_single_remb_of_any_value_changes_nothing(bps: int) -> None:
    loop = Loop(remb=lambda now: bps if 103 <= now < 103.2 else 2_500_000)
    assert {sample.rendition for sample in loop.run(20)} == {TOP}


def test_a_viewer_may_ask_for_less_by_a_lasting_remb_and_for_more_again() -> None:
    loop = Loop(remb=lambda now: 800_000 if now < 120 else 5_000_000)
    assert loop.run(15)[-1].rendition == 1
    assert loop.run(25)[-1].rendition == TOP


def test_remb_that_still_climbs_holds_nobody_back() -> None:
    loop = Loop(remb=lambda now: int(300_000 * 1.08 ** (now - 100)))  # Chromium's after congestion
    assert {sample.rendition for sample in loop.run(30)} == {TOP}


def test_a_flood_of_remb_takes_no_more_room_than_its_seconds_and_says_the_same() -> None:
    link = LinkEstimate(2_000_000, 0.0)
    for number in range(60_000):
        link.bandwidth(800_000 if number % 500 else 700_000, 100 + number / 5000)
    heard = link._wishes._heard
    assert len(heard) <= REMB_PATIENCE / REMB_SPACING + 3
    assert heard[-1] == (100 + 59_999 / 5000, 800_000)
    assert link._wishes.lasting(112.0) == 800_000


def test_reports_about_packets_that_were_never_sent_are_not_believed() -> None:
    loop = Loop()
    loop.run(3)
    for number in random.Random(3).sample(range(65536), 3000):
        loop.link.reported((loop.sequence + 100 + number % 30_000) & 0xFFFF, 0, loop.now)
    assert loop.run(5)[-1].rendition == TOP


def test_nonsense_moves_the_estimate_only_within_its_bounds() -> None:
    chance = random.Random(5)
    link = LinkEstimate(2_000_000, 0.0)
    now, sequence, octets = 0.0, 0, 0
    for _ in range(20_000):
        now += chance.random() * 0.3
        sequence, octets = sequence + chance.randrange(20), octets + chance.randrange(20_000)
        link.sent(sequence, octets, now)
        link.measured(chance.choice([0.0, 0.01, 59.0]), chance.choice([0.0, 0.4, 60.0]), now)
        link.bandwidth(chance.choice([0, 1, 500_000, 10**10]), now)
        link.repaired(chance.getrandbits(32), chance.randrange(-(2**23), 2**23))
        link.reported(chance.getrandbits(32), chance.randrange(-(2**23), 2**23), now)
        if link.probing.goal_bps:
            assert 0 <= link.padding(now) < 30_000
        assert FLOOR_BPS <= link.available_bps <= 2_000_000
        assert link.hold_until <= now + 0.8


def test_without_any_report_the_first_guess_stays() -> None:
    link = LinkEstimate(1_500_000, 0.0)
    for number in range(1000):
        link.sent(number, number * 1000, number / 30)
        link.bandwidth(0, number / 30)
    assert link.available_bps == 1_500_000
    assert not link.congested


def test_a_viewer_whose_count_stands_still_while_our_reports_reach_it_has_no_queue() -> None:
    link, now = LinkEstimate(2_000_000, 0.0), 0.0
    for step in range(200):
        now += 0.1
        link.sent(100 + 20 * step, 24_000 * step, now)
        link.measured(0.011, 0.05, now)
        link.reported(105, 0, now)
    assert link.queueing_ms < 60
    assert link.available_bps == 2_000_000


@pytest.mark.parametrize("least_bps", range(360_000, 460_000, 10_000))
def test_a_queue_that_drains_is_not_taken_for_a_longer_way(least_bps: int) -> None:
    """On its way down a queue is once as long as when it was noticed."""
    for begin in (10.0, 10.07, 10.13):
        loop = Loop(rate_bps=GOOD, queue_ms=20_000.0, ladder=(least_bps, 700_000, 2_000_000))
        loop.run(begin)
        loop.rate_bps = BAD
        down = [sample.available for sample in loop.run(10) if sample.at > 101 + begin]
        assert max(down) < 2 * BAD


def test_padding_does_not_make_the_way_look_shorter() -> None:
    delivery = Delivery()
    delivery.sent(1, 1200, 10.00)
    delivery.sent(1, 2400, 10.03)
    delivery.acknowledge(0, 0, 10.10)
    assert delivery.round_trip == pytest.approx(0.1)
    assert delivery.outstanding == 0


@pytest.mark.parametrize(
    ("late", "congested"), [((0.11, 0.08), False), ((0.09, 0.12), True), ((0.12, 0.10, 0.09), True)]
)
def test_a_hiccup_is_gone_with_the_next_reports_and_a_queue_is_not(late: tuple[float, ...], congested: bool) -> None:
    link, now = LinkEstimate(2_000_000, 0.0), 0.0
    for overdue in (*[0.0] * 20, *late):
        now += 0.2
        for unit in range(round((now - 0.2) * 100), round(now * 100)):
            link.sent(unit + 1, unit * 2500, unit / 100)
        link.reported(round((now - 0.02 - overdue) * 100), 0, now)
    assert link.congested == congested
