"""Reports of latency are read without trust."""

from __future__ import annotations

import json
import random

import pytest

from edgecam.media import latency
from edgecam.media.latency import FRESH, MAX_MESSAGE, Latency, LatencyLog, Report, parse


def test_a_report_is_read_and_answered() -> None:
    report = parse('{"ping": 1234.5, "latency": [20, 31.5, 59]}')
    assert report == Report(1234.5, Latency(20.0, 31.5, 59))
    assert json.loads(latency.answer(report, 4_294_967_295)) == {"pong": 1234.5, "rtp": 4_294_967_295}


def test_a_question_needs_no_latency() -> None:
    assert parse('{"ping": 0}') == Report(0, None)


@pytest.mark.parametrize(
    "message",
    [
        "", "null", "7", "[]", "{}", '"ping"', '{"ping": null}', '{"ping": true}', '{"ping": "1"}', '{"ping": -1}', '{"ping": NaN}',
        '{"ping": Infinity}', '{"ping": 1e999}', '{"ping": ' + "9" * 150 + "}", '{"ping": [1]}', '{"ping": 1', "[" * MAX_MESSAGE,
        '{"ping": 1, "x": "' + "y" * MAX_MESSAGE + '"}', b'{"ping": 1}', None, 1.0,
    ],
)  # fmt: skip
def test_what_is_no_message_is_none(message: object) -> None:
    assert parse(message) is None


@pytest.mark.parametrize(
    "reported",
    [
        "null", "[]", "[1, 2]", "[2, 1, 3]", "[1, 2, -3]", "[1, 2, 1e9]", "[-1, 2, 3]", "[1, 1e9, 3]", "[NaN, NaN, 1]",
        "[true, 2, 3]", '{"p50": 1}',
    ],
)  # fmt: skip
def test_impossible_latencies_are_left_out(reported: str) -> None:
    assert parse(f'{{"ping": 1, "latency": {reported}}}') == Report(1, None)


def test_mutations_of_a_report_never_raise() -> None:
    dice = random.Random(5)
    good = '{"ping": 1234.5, "latency": [20, 31.5, 59]}'
    for _ in range(20_000):
        text = list(good)
        for _ in range(dice.randint(1, 6)):
            text[dice.randrange(len(text))] = dice.choice('{}[]",:.0123456789eE-+ntfNI\\u\x00\ud800')
        found = parse("".join(text))
        if found is not None and found.latency is not None:
            assert 0 <= found.latency.p50_ms <= found.latency.p95_ms <= latency.LONGEST_MS


def test_a_report_counts_until_it_is_old() -> None:
    log = LatencyLog()
    assert log.current(100.0) is None
    log.take(Latency(20, 30, 60), 100.0)
    assert log.current(100.0 + FRESH) == Latency(20, 30, 60)
    assert log.current(100.1 + FRESH) is None
