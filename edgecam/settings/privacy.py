"""When a camera is private: times of the week, and the line of a GPIO switch, as they are written in [camera.NAME]."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES = 24 * 60  # of a day
_WINDOW = re.compile(r"(?:([a-z,-]+)\s+)?(\d\d):(\d\d)\s*-\s*(\d\d):(\d\d)")
_LINE = re.compile(r"(/dev/gpiochip\d+|gpiochip\d+):(\d{1,4})(:low)?")


@dataclass(frozen=True, slots=True)
class Window:
    """Some hours of some days. `days`: 0 is Monday, the day on which it begins; minutes since midnight, local time. One whose
    end is not after its beginning lasts until the next day."""

    days: frozenset[int]
    begins: int
    ends: int

    def holds(self, weekday: int, minute: int) -> bool:
        """Whether a clock that shows that `minute` of that `weekday` is inside."""
        if self.begins < self.ends:
            return weekday in self.days and self.begins <= minute < self.ends
        return (weekday in self.days and minute >= self.begins) or ((weekday - 1) % 7 in self.days and minute < self.ends)


def parse_window(text: str) -> Window:
    """`mon-fri 22:00-06:30`, `sat,sun 00:00-24:00`, `12:00-13:00`. Raises ValueError."""
    match = _WINDOW.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(f'{text!r} is no time of the week; write for example "mon-fri 22:00-06:30" or "12:00-13:00"')
    begins, ends = (int(hour) * 60 + int(minute) for hour, minute in (match.group(2, 3), match.group(4, 5)))
    if max(int(match[3]), int(match[5])) > 59 or begins >= MINUTES or ends > MINUTES:
        raise ValueError(f"{text!r}: there is no such time of day")
    return Window(_days(match[1], text), begins, ends)


def _days(written: str | None, text: str) -> frozenset[int]:
    if written is None:
        return frozenset(range(7))
    found: set[int] = set()
    for part in written.split(","):
        first, _, last = part.partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            raise ValueError(f"{text!r}: {part!r} is no day; days are {', '.join(DAYS)}, or for example mon-fri")
        day, end = DAYS.index(first), DAYS.index(last or first)
        found.update({(day + n) % 7 for n in range((end - day) % 7 + 1)})
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class GpioLine:
    """A line of a GPIO chip. `active_low`: private while the voltage is low."""

    chip: str
    offset: int
    active_low: bool


def parse_line(text: str) -> GpioLine:
    """`gpiochip0:17`, `/dev/gpiochip0:17`, `gpiochip0:17:low`. Raises ValueError."""
    match = _LINE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'{text!r} is no GPIO line; write for example "gpiochip0:17", or "gpiochip0:17:low" if low means private')
    chip = match[1] if match[1].startswith("/") else f"/dev/{match[1]}"
    return GpioLine(chip, int(match[2]), match[3] is not None)


def _checked_window(text: str) -> str:
    parse_window(text)
    return text


def _checked_line(text: str) -> str:
    if text:
        parse_line(text)
    return text


WindowText = Annotated[str, AfterValidator(_checked_window)]
GpioText = Annotated[str, AfterValidator(_checked_line)]
