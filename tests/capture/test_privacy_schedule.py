"""Times of the week, clocks that are set, and clocks that nobody believes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from edgecam.privacy.schedule import Schedule
from edgecam.settings import CameraSettings

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    yield
    monkeypatch.undo()
    time.tzset()


class Clock:
    """Shows what it is set to, local time of Berlin."""

    def __init__(self, text: str) -> None:
        self.now = 0.0
        self.set(text)

    def set(self, text: str, fold: int = 0) -> None:
        self.now = datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).timestamp()

    def __call__(self) -> float:
        return self.now


def private(windows: list[str], text: str, fold: int = 0) -> bool:
    clock = Clock("2026-01-01 12:00")
    clock.set(text, fold)
    return Schedule(windows, lambda: True, clock).look() is not None


@pytest.mark.parametrize(
    ("window", "inside", "outside"),
    [
        ("12:00-13:00", ["2026-11-21 12:00", "2026-11-21 12:59:59"], ["2026-11-21 11:59:59", "2026-11-21 13:00"]),
        # 2026-11-20 is a Friday; the night belongs to the day on which it begins
        ("fri 22:00-06:30", ["2026-11-20 22:00", "2026-11-21 06:29"], ["2026-11-20 06:00", "2026-11-21 22:00", "2026-11-21 06:30"]),
        ("sat,sun 00:00-24:00", ["2026-11-21 00:00", "2026-11-22 23:59"], ["2026-11-20 23:59", "2026-11-23 00:00"]),
        ("sat-mon 10:00-11:00", ["2026-11-21 10:30", "2026-11-23 10:30"], ["2026-11-24 10:30", "2026-11-20 10:30"]),
        ("Mon-Fri 08:00 - 17:00", ["2026-11-20 16:59"], ["2026-11-21 12:00"]),
        ("07:00-07:00", ["2026-11-21 06:59", "2026-11-21 07:00"], []),
    ],
)
def test_a_window_holds_the_times_that_it_says(berlin: None, window: str, inside: list[str], outside: list[str]) -> None:
    assert [private([window], text) for text in inside] == [True] * len(inside)
    assert [private([window], text) for text in outside] == [False] * len(outside)


@pytest.mark.parametrize(
    "text", ["25:00-26:00", "12:60-13:00", "8-9", "mo 08:00-09:00", "24:00-01:00", "mon-, 08:00-09:00", "", "fri", "22:00"]
)
def test_what_is_no_time_of_the_week_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match=r"no time of the week|no such time|is no day"):
        CameraSettings.model_validate({"source": "test", "privacy_schedule": [text]})


def test_an_hour_that_comes_twice_is_private_twice_and_one_that_does_not_come_ends_with_it(berlin: None) -> None:
    autumn = ["02:00-02:30"]
    assert private(autumn, "2026-10-25 02:10", fold=0)
    assert private(autumn, "2026-10-25 02:10", fold=1)
    assert not private(autumn, "2026-10-25 02:40", fold=0)
    spring = ["01:30-02:30"]  # on 2026-03-29 the clock goes from 02:00 to 03:00
    assert private(spring, "2026-03-29 01:59")
    assert not private(spring, "2026-03-29 03:00")


def test_a_clock_that_is_set_is_followed_at_once(berlin: None) -> None:
    clock = Clock("2026-11-21 12:00")
    schedule = Schedule(["22:00-06:00"], lambda: True, clock)
    assert schedule.look() is None
    clock.set("2026-11-21 23:00")
    assert schedule.look() == "schedule 22:00-06:00"
    clock.set("2026-11-20 15:00")
    assert schedule.look() is None


def test_the_zone_is_the_machines_now_also_when_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock("2026-11-21 12:30")
    schedule = Schedule(["12:00-13:00"], lambda: True, clock)
    monkeypatch.setenv("TZ", "America/New_York")
    assert schedule.look() is None
    monkeypatch.setenv("TZ", "Europe/Berlin")
    assert schedule.look() is not None
    monkeypatch.undo()
    time.tzset()


def test_a_clock_that_was_never_synchronised_is_not_believed_and_later_ones_are(berlin: None) -> None:
    synchronised = [False]
    schedule = Schedule(["22:00-06:00"], lambda: synchronised[0], Clock("2026-11-21 12:00"))
    said = schedule.look()
    assert said is not None
    assert "not been synchronised" in said
    synchronised[0] = True
    assert schedule.look() is None
    synchronised[0] = False  # NTP is gone, the clock is not
    assert schedule.look() is None


@pytest.mark.parametrize("text", ["17", "gpiochip0", "gpiochip0:x", "gpiochip0:17:high", "/dev/gpio:1"])
def test_what_is_no_gpio_line_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="no GPIO line"):
        CameraSettings.model_validate({"source": "test", "privacy_gpio": text})


def test_a_privacy_file_is_named_by_its_whole_path() -> None:
    with pytest.raises(ValidationError, match="whole path"):
        CameraSettings.model_validate({"source": "test", "privacy_file": "private"})
