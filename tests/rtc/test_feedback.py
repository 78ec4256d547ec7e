"""RTCP from viewers: what it says is understood, whoever else it is about."""

from __future__ import annotations

from struct import pack

import pytest

from edgecam.rtc.feedback import (
    MAX_BPS,
    MAX_NACKED,
    Bandwidth,
    Bye,
    Feedback,
    FeedbackReader,
    KeyframeWanted,
    Nack,
    Reception,
)
from edgecam.rtc.retransmission import BURST, LONGEST_WAIT, PACKETS_PER_SECOND, RetransmissionBudget
from tests.rtc.rtcp import (
    application,
    block,
    bye,
    extended_report,
    fir,
    nack,
    pli,
    receiver_report,
    remb,
    sdes,
    sender_report,
    transport_feedback,
)

SSRC, RTX = 0x12345678, 0x9ABCDEF0


def heard(*compounds: bytes) -> list[Feedback]:
    """What a fresh reader says about these compounds, one after the other."""
    reader = FeedbackReader(SSRC, RTX)
    return [item for compound in compounds for item in reader.read(compound)]


def test_each_kind_of_feedback_is_understood_in_one_compound() -> None:
    report = receiver_report(block(SSRC, 64, -2, 70_000, 900, 0xABCD0000, 655), block(RTX, 0, 3, 12))
    compound = report + sdes() + pli(SSRC) + nack(SSRC, (7, 0b101)) + remb(250_000, 3, SSRC) + bye(1)
    assert heard(compound) == [
        Reception(False, 0.25, -2, 70_000, 900, 0xABCD0000, 655),
        Reception(True, 0.0, 3, 12, 0, 0, 0),
        KeyframeWanted(),
        Nack((7, 8, 10)),
        Bandwidth(2_000_000),
        Bye(),
    ]


def test_a_viewer_that_also_sends_reports_inside_its_sender_report() -> None:
    assert heard(sender_report(block(7), block(SSRC, 128, 5))) == [Reception(False, 0.5, 5, 0, 0, 0, 0)]


@pytest.mark.parametrize(
    ("lsr", "dlsr", "now", "seconds"),
    [
        (0x0001_0000, 0x8000, 0x0002_0000, 0.5),
        (0xFFFF_0000, 0x8000, 0x0000_0000, 0.5),  # the clock wraps every 18 hours
        (0, 0, 0x0002_0000, None),  # no sender report heard yet
        (0x0001_0000, 0x0002_0000, 0x0002_0000, None),  # answered before it was asked
        (0x0001_0000, 0, 0x0100_0000, None),  # four minutes
    ],
)
def test_a_report_tells_the_round_trip_unless_it_cannot_be_true(lsr: int, dlsr: int, now: int, seconds: float | None) -> None:
    assert Reception(False, 0.0, 0, 0, 0, lsr, dlsr).round_trip(now) == seconds


def test_a_repeated_fir_command_is_the_same_command() -> None:
    reader = FeedbackReader(SSRC)
    asked = [bool(list(reader.read(fir(number, 99, SSRC)))) for number in (3, 3, 3, 4, 4, 255, 0)]
    assert asked == [True, False, False, True, False, True, True]
    assert list(reader.read(fir(0, SSRC, sender=2))) == [KeyframeWanted()], "numbers count per sender"


def test_saying_it_twice_in_a_compound_makes_nothing_more_of_it() -> None:
    assert heard(pli(SSRC) * 20 + fir(1, SSRC)) == [KeyframeWanted()]


def test_sequence_numbers_of_all_nacks_in_a_compound_wrap_and_are_bounded() -> None:
    assert heard(nack(SSRC, (0xFFFE, 0b111)) + nack(SSRC, (9, 0))) == [Nack((0xFFFE, 0xFFFF, 0, 1, 9))]
    reader = FeedbackReader(SSRC)
    (found,) = reader.read(nack(SSRC, *((17 * n, 0xFFFF) for n in range(300))))
    assert isinstance(found, Nack)
    assert found.sequence_numbers == tuple(range(MAX_NACKED))
    assert reader.ignored


@pytest.mark.parametrize("exponent", [15, 63])
def test_an_absurd_bandwidth_is_cut(exponent: int) -> None:
    assert heard(remb(0x3FFFF, exponent, SSRC)) == [Bandwidth(min(0x3FFFF << exponent, MAX_BPS))]


def test_feedback_about_somebody_elses_stream_is_ignored() -> None:
    compound = receiver_report(block(1, 64, 5)) + pli(1) + fir(1, 2) + remb(1, 1, 2) + nack(RTX, (7, 0)) + pli(RTX) + bye(1)
    assert heard(compound) == []


def test_only_who_reported_about_the_stream_can_say_bye() -> None:
    report = receiver_report(block(SSRC), sender=5)
    assert heard(report, bye(4)) == [Reception(False, 0.0, 0, 0, 0, 0, 0)]
    assert heard(report, bye(4, 5))[-1] == Bye()


def test_transport_wide_feedback_with_padding_that_aiortc_refuses_is_skipped() -> None:
    compound = transport_feedback(0xFFFE, 7, -1, [0x2003], bytes([8, 4, 4]), 3)
    assert compound[0] & 0x20, "the P bit"
    assert heard(compound + pli(SSRC)) == [KeyframeWanted()]


@pytest.mark.parametrize(
    "broken",
    [
        pli(SSRC)[:-1],
        pack("!BBH", 0x81, 206, 65535) + bytes(40),
        b"\x41" + pli(SSRC)[1:],  # version 1
        pack("!BBHI", 0x84, 206, 1, 1),  # FIR without an entry
        pack("!BBHII", 0xA1, 206, 2, 1, SSRC)[:-1] + b"\xff",  # padding longer than the packet
        b"\x8f\xce\x00\x04" + bytes(8) + b"REMB" + b"\xff\0\0\1",
        pack("!BBHI", 0x9F, 201, 1, 1),  # 31 report blocks, none of which is there
    ],
)
def test_what_is_malformed_says_nothing(broken: bytes) -> None:
    assert heard(broken) == []


@pytest.mark.parametrize("unknown", [application(bytes(8)), extended_report(bytes(12)), sdes(b"x" * 200), pack("!BBH", 0x80, 210, 0)])
def test_what_is_unknown_is_skipped(unknown: bytes) -> None:
    assert heard(unknown + pli(SSRC)) == [KeyframeWanted()]


def test_padding_is_not_read_as_content() -> None:
    padded = bytearray(nack(SSRC, (7, 0), (4, 4)))
    padded[0] |= 0x20
    assert heard(bytes(padded)) == [Nack((7,))]


# what is answered


def test_retransmissions_are_bounded_per_second_and_in_bursts() -> None:
    budget = RetransmissionBudget()
    assert budget.grant(range(1000), now=100.0) == list(range(int(BURST)))
    assert budget.refused == 1000 - BURST
    assert budget.grant([5000], now=100.0) == []
    assert len(budget.grant(range(6000, 7000), now=100.25)) == PACKETS_PER_SECOND / 4
    assert not budget.spend(int(BURST) + 1, now=1000.0)
    assert budget.spend(int(BURST), now=1000.0)


def test_a_packet_is_sent_again_once_per_round_trip() -> None:
    budget = RetransmissionBudget()
    assert budget.grant([1, 2, 2, 1], 10.0, 0.040) == [1, 2]
    assert budget.grant([1, 2, 3], 10.030, 0.040) == [3]
    assert budget.grant([1, 2, 3], 10.045, 0.040) == [1, 2]
    assert budget.repeated == 5


@pytest.mark.parametrize("lie", [0.0, -5.0, 1e9])
def test_no_claimed_round_trip_makes_retransmission_free_or_forbids_it(lie: float) -> None:
    budget = RetransmissionBudget()
    granted = [budget.grant([1], now, lie) for now in (10.0, 10.001, 10.002 + LONGEST_WAIT)]
    assert granted == [[1], [], [1]]
