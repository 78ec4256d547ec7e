"""RTCP from those who mean harm, as the reader sees it: nothing is raised, and no compound costs more than a bound.

Through SRTP at live sessions: test_storms.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any

import pytest

from edgecam.rtc.feedback import MAX_BPS, MAX_NACKED, Bandwidth, Feedback, FeedbackReader, Nack, Reception
from tests.rtc.mutations import LARGEST, Mutations
from tests.rtc.rtcp import nack

SSRC, RTX = 0x12345678, 0x9ABCDEF0
SEEDS = range(10)
CASES = 10_000  # for each seed

# As many sequence numbers as one compound may ask for are the dearest: 2,000 lines, 50 µs where this was written.
MOST_LINES = 4000


def assert_bounded(found: Iterable[Feedback]) -> int:
    """How many items there are, each within its bounds."""
    items = list(found)
    assert len(items) <= 6, "a keyframe, a bandwidth, two receptions, a NACK, a BYE"
    for item in items:
        match item:
            case Bandwidth(bps):
                assert 0 <= bps <= MAX_BPS
            case Nack(numbers):
                assert 0 < len(numbers) <= MAX_NACKED
                assert 0 <= min(numbers) <= max(numbers) < 65536
            case Reception() as report:
                assert 0 <= report.fraction_lost < 1
                assert -0x800000 <= report.lost < 0x800000
                trip = report.round_trip(SSRC)
                assert trip is None or 0 <= trip < 60
    return len(items)


class Lines:
    """Counts the lines of edgecam that are executed inside, which is work whatever the machine does besides."""

    def __enter__(self) -> Lines:
        self.count = 0
        self._before: Any = sys.gettrace()
        sys.settrace(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _called(self, frame: FrameType, event: str, _arg: object) -> Any:
        return self._line if "edgecam" in frame.f_code.co_filename else None

    def _line(self, frame: FrameType, event: str, _arg: object) -> Any:
        self.count += event == "line"
        return self._line


@pytest.mark.parametrize("seed", SEEDS)
def test_ten_thousand_hostile_compounds_raise_nothing_and_say_little(seed: int) -> None:
    reader, compounds = FeedbackReader(SSRC, RTX), Mutations(seed, SSRC, RTX)
    said = sum(assert_bounded(reader.read(next(compounds))) for _ in range(CASES))
    assert said > CASES / 2, "the mutations are not so wild that nothing is ever understood"
    assert reader.ignored > CASES / 10


def test_no_compound_takes_more_than_so_many_steps() -> None:
    reader, compounds = FeedbackReader(SSRC, RTX), Mutations(4711, SSRC, RTX)
    worst = 0
    for _ in range(1000):
        compound = next(compounds)
        with Lines() as lines:
            reader.read(compound)
        worst = max(worst, lines.count)
    for dense in (nack(SSRC, *[(7, 0xFFFF)] * 320), nack(SSRC, (7, 0xFFFF)) * 80, b"\x80\xc8\0\0" * 350):
        with Lines() as lines:
            reader.read(dense[:LARGEST])
        worst = max(worst, lines.count)
    assert worst <= MOST_LINES
    print(worst, "lines")
    assert worst > 500, "lines are counted"
