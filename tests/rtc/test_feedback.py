"""RTCP from strangers: what it says is understood, what it breaks is nothing."""

from __future__ import annotations

import random
from struct import pack

from edgecam.rtc.feedback import Bandwidth, KeyframeWanted, Lost, Reception, parse
from edgecam.rtc.retransmission import BURST, PACKETS_PER_SECOND, RetransmissionBudget

SSRC = 0x12345678


def pli(ssrc: int) -> bytes:
    return pack("!BBHII", 0x81, 206, 2, 1, ssrc)


def fir(*ssrcs: int) -> bytes:
    return pack("!BBHII", 0x84, 206, 2 + 2 * len(ssrcs), 1, 0) + b"".join(pack("!IBxxx", s, 1) for s in ssrcs)


def remb(mantissa: int, exponent: int, *ssrcs: int) -> bytes:
    head = pack("!BBHII4s", 0x8F, 206, 4 + len(ssrcs), 1, 0, b"REMB")
    return head + pack("!I", len(ssrcs) << 24 | exponent << 18 | mantissa) + b"".join(pack("!I", s) for s in ssrcs)


def nack(ssrc: int, *entries: tuple[int, int]) -> bytes:
    return pack("!BBHII", 0x81, 205, 2 + len(entries), 1, ssrc) + b"".join(pack("!HH", *entry) for entry in entries)


def receiver_report(ssrc: int, fraction: int, lost: int, jitter: int) -> bytes:
    return pack("!BBHIIIIIII", 0x81, 201, 7, 1, ssrc, fraction << 24 | (lost & 0xFFFFFF), 0, jitter, 0, 0)


def test_each_kind_of_feedback_is_understood_in_one_compound() -> None:
    compound = receiver_report(SSRC, 64, -2, 900) + pli(SSRC) + fir(7, SSRC) + remb(250_000, 3, SSRC)
    assert list(parse(compound, SSRC)) == [
        Reception(0.25, -2, 900),
        KeyframeWanted(),
        KeyframeWanted(),
        Bandwidth(2_000_000),
    ]


def test_a_nack_says_how_many_packets_are_wanted_again() -> None:
    assert list(parse(nack(SSRC, (7, 0), (9, 0xFFFF)), SSRC)) == [Lost(18)]
    assert list(parse(nack(1, (7, 0)), SSRC)) == []


def test_retransmissions_are_bounded_per_second_and_in_bursts() -> None:
    budget = RetransmissionBudget()
    assert budget.spend(int(BURST), now=100.0)
    assert not budget.spend(1, now=100.0)
    assert budget.spend(int(PACKETS_PER_SECOND / 4), now=100.25)
    assert not budget.spend(int(BURST) + 1, now=1000.0)


def test_feedback_about_somebody_elses_stream_is_ignored() -> None:
    compound = receiver_report(1, 64, 5, 9) + pli(1) + fir(1, 2) + remb(1, 1, 2)
    assert list(parse(compound, SSRC)) == []


def test_a_packet_that_claims_to_be_longer_than_it_is_ends_the_parse() -> None:
    assert list(parse(pli(SSRC)[:-1], SSRC)) == []
    assert list(parse(pack("!BBH", 0x81, 206, 65535) + bytes(40), SSRC)) == []


def test_a_hundred_thousand_mutations_raise_nothing() -> None:
    dice = random.Random(7)
    valid = receiver_report(SSRC, 64, 5, 9) + nack(SSRC, (1, 2)) + pli(SSRC) + fir(SSRC) + remb(1, 1, SSRC)
    for _ in range(100_000):
        data = bytearray(valid[: dice.randrange(len(valid) + 1)])
        for _ in range(dice.randrange(6)):
            if data:
                data[dice.randrange(len(data))] = dice.randrange(256)
        assert len(list(parse(bytes(data), SSRC))) <= 64
