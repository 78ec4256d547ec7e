"""A day's bytes: days, clocks that jump, restarts, and files on disks that are full."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from edgecam.governors.budget import LADDER, SPENT, Budget, Day, Record
from edgecam.governors.ledger import EVERY, FILE, Ledger

GB = 10**9


@pytest.fixture(autouse=True)
def _in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def at(text: str) -> float:
    """Unix time of a moment in Berlin."""
    return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M"))


class Clock:
    """A wall clock and a monotonic one, which go on together unless the first is set."""

    def __init__(self, text: str) -> None:
        self.wall, self.now = at(text), 100.0

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.now += seconds

    def set(self, text: str) -> None:
        self.wall = at(text)


def budget(clock: Clock, record: Record | None = None, size: int = GB, begins: int = 0) -> Budget:
    return Budget(size, begins, record, clock.wall, clock.now)


def send(counted: Budget, clock: Clock, octets: int, seconds: float = 1.0) -> int:
    clock.pass_(seconds)
    return counted.count(octets, clock.wall, clock.now)


def test_days_begin_at_midnight_or_when_it_says_and_may_have_23_or_25_hours() -> None:
    assert Day.at(at("2026-03-10 23:59"), 0).name == "2026-03-10"
    assert Day.at(at("2026-03-11 04:59"), 5).name == "2026-03-10"
    assert Day.at(at("2026-03-11 05:00"), 5) == Day("2026-03-11", at("2026-03-11 05:00"), at("2026-03-12 05:00"))
    assert Day.at(at("2027-01-01 01:00"), 5).name == "2026-12-31"
    for moment, hours in (("2026-03-29 12:00", 23), ("2026-10-25 12:00", 25), ("2026-06-01 12:00", 24)):
        day = Day.at(at(moment), 0)
        assert day.end - day.begin == hours * 3600


def test_an_even_day_is_never_limited_and_a_greedy_one_step_by_step() -> None:
    clock = Clock("2026-06-01 00:00")
    even = budget(clock)
    assert {send(even, clock, GB // 1441, 60) for _ in range(1439)} == {0}
    clock = Clock("2026-06-01 00:00")
    greedy, found = budget(clock), []
    while not greedy.spent:
        found.append(send(greedy, clock, GB // 500, 60))
    assert sorted(set(found)) == list(range(SPENT + 1))
    assert found == sorted(found), "it never climbs while the pace stays too fast"
    assert found.index(1) * GB // 500 / GB > 0.2, "a fifth may be ahead of the clock"
    assert LADDER[SPENT].best_rendition == 2


def test_who_stops_in_time_gets_everything_back_slowly_and_does_not_flap() -> None:
    clock = Clock("2026-06-01 00:00")
    counted = budget(clock)
    send(counted, clock, GB // 2, 60)
    found = [counted.level] + [send(counted, clock, 0, 60) for _ in range(1000)]
    assert found[0] == 2
    assert found[-1] == 0
    assert found == sorted(found, reverse=True)
    assert sum(a != b for a, b in pairwise(found)) == 2


def test_a_new_day_begins_at_nothing() -> None:
    clock = Clock("2026-06-01 23:50")
    counted = budget(clock)
    assert send(counted, clock, 2 * GB) == SPENT
    assert counted.spent
    assert send(counted, clock, 1000, 700) == 0
    assert (counted.day, counted.used) == ("2026-06-02", 0)
    assert send(counted, clock, 1000) == 0
    assert counted.used == 1000


def test_a_restart_goes_on_and_the_next_day_does_not() -> None:
    clock = Clock("2026-06-01 12:00")
    record = Record("2026-06-01", 700_000_000, 40_000)
    assert budget(clock, record).used == 700_000_000
    clock.set("2026-06-02 12:00")
    assert budget(clock, record).used == 0


def test_a_clock_that_is_behind_gives_no_second_budget_but_a_day_of_counting_does() -> None:
    clock = Clock("1970-01-02 00:00")
    counted = budget(clock, Record("2026-06-01", GB, 50_000))
    assert send(counted, clock, 1000) == SPENT
    assert counted.day == "2026-06-01"
    for _ in range(11):
        level = send(counted, clock, 1000, 3600)
    assert level == 0, "86400 seconds of that day have been counted by now"
    assert counted.day == "1970-01-02"


def test_a_clock_that_is_set_right_after_boot_takes_along_what_was_sent_since() -> None:
    clock = Clock("2026-06-01 23:00")
    counted = budget(clock, Record("2026-06-01", 800_000_000, 80_000))
    send(counted, clock, 50_000_000)
    clock.set("2026-06-02 09:00")
    send(counted, clock, 1_000_000)
    assert counted.day == "2026-06-02"
    assert counted.used == 51_000_000, "only what was sent since the machine started"


def test_a_clock_set_within_the_day_changes_nothing_that_is_counted() -> None:
    clock = Clock("2026-06-01 12:00")
    counted = budget(clock)
    send(counted, clock, 100_000_000)
    for moment in ("2026-06-01 03:00", "2026-06-01 22:00", "2026-05-30 22:00", "2026-06-01 12:00"):
        clock.set(moment)
        send(counted, clock, 1_000_000)
        assert counted.day == "2026-06-01"
    assert counted.used == 104_000_000
    assert 0 < counted.share <= 2


# on disk


def test_what_was_counted_is_found_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "new", GB)
    assert ledger.read() is None
    record = Record("2026-06-01", 123_456_789, 4000.0)
    assert ledger.due(record, 0)
    ledger.write(record, 0)
    assert Ledger(tmp_path / "new", GB).read() == record
    assert [file.name for file in (tmp_path / "new").iterdir()] == [FILE]


def test_writes_are_few_and_a_crash_loses_a_hundredth(tmp_path: Path) -> None:
    ledger, written, lost, used = Ledger(tmp_path, GB), 0, 0, 0
    for second in range(86_400):
        used += 20_000  # 1.7 GB a day
        record = Record("2026-06-01", used, second)
        if ledger.due(record, second):
            ledger.write(record, second)
            written += 1
            kept = used
        lost = max(lost, used - kept)
    assert lost <= GB * 0.011
    assert written <= 200
    ledger.write(record, 86_400)
    later = Record("2026-06-01", used, 86_400 + 10 * EVERY)
    assert not ledger.due(later, later.seconds), "nothing is written while nothing is sent"


DAMAGED = (
    "", "{", "[]", "\x00" * 60,
    '{"day": "yesterday", "bytes": 1, "seconds": 1}',
    '{"day": "2026-06-01", "bytes": -5, "seconds": 1}',
    '{"day": "2026-06-01", "bytes": 1e400, "seconds": 1}',
)  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_is_said_and_counting_begins_anew(tmp_path: Path, damage: str) -> None:
    (tmp_path / FILE).write_text(damage)
    with capture_logs() as said:
        assert Ledger(tmp_path, GB).read() is None
    assert [entry["event"] for entry in said] == ["budget.unreadable"]


def test_a_full_and_a_read_only_disk_keep_the_old_file_and_are_said_once(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], check=True)
    try:
        ledger = Ledger(place, GB)
        first = Record("2026-06-01", 1000, 1.0)
        ledger.write(first, 0)
        filler = place / "filler"
        with pytest.raises(OSError, match="No space"):
            filler.write_bytes(bytes(1 << 20))
        more = Record("2026-06-01", 90_000_000, 2.0)
        with capture_logs() as said:
            ledger.write(more, 1)
            assert not ledger.due(more, 2), "it is tried again later"
            assert ledger.due(more, 700)
            subprocess.run(["mount", "-o", "remount,ro", place], check=True)
            ledger.write(more, 700)
        assert [entry["event"] for entry in said] == ["budget.unwritable"]
        assert Ledger(place, GB).read() == first
        subprocess.run(["mount", "-o", "remount,rw", place], check=True)
        filler.unlink()
        ledger.write(more, 1400)
        assert Ledger(place, GB).read() == more
        assert [file.name for file in place.iterdir()] == [FILE], "no half-written file is left"
    finally:
        subprocess.run(["umount", place], check=True)


def test_another_budget_and_another_hour_go_on_with_what_was_counted() -> None:
    clock = Clock("2026-03-10 18:00")
    counted = budget(clock)
    send(counted, clock, GB // 2)
    assert counted.level == 0
    counted.apply(GB, 17)  # an hour ago: much was sent in little of a day
    assert send(counted, clock, GB // 10) == 3
    counted.apply(GB, 20)  # the 9th is not over yet
    assert send(counted, clock, 0) == 0
    assert (counted.day, counted.used) == ("2026-03-09", 6 * GB // 10)
    counted.apply(GB // 2, 20)
    assert send(counted, clock, 0) == SPENT
    clock.pass_(2 * 3600)
    send(counted, clock, 0)
    assert send(counted, clock, 5) == 0
    assert (counted.day, counted.used) == ("2026-03-10", 5)
