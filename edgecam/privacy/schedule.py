"""Private at certain times of the week, by the local clock, if that can be believed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from edgecam.health.clock import TIMESYNC, synchronised
from edgecam.settings.privacy import parse_window


def clock_is_synchronised() -> bool:
    """Whether the clock has been set by somebody who knows the time, since the machine was started: the kernel forgets that after
    some hours without NTP, systemd-timesyncd does not."""
    return (TIMESYNC / "synchronized").exists() or synchronised() is True


class Schedule:
    """Private while the local clock shows a time in one of `windows`; looked at anew each time, so that a clock that is set, or
    daylight saving time, needs no care: an hour that comes twice is private twice. Implements PrivacySource.

    A computer without a battery clock wakes up in the past. Until `believed` has said once that the clock is right, it is private.
    """

    kind = "schedule"

    def __init__(
        self,
        windows: Sequence[str],
        believed: Callable[[], bool] = clock_is_synchronised,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._windows = [(text, parse_window(text)) for text in windows]
        self._believed = believed
        self._now = now
        self._right = False

    def look(self) -> str | None:
        self._right = self._right or self._believed()
        if not self._right:
            return "there is a schedule, and the clock has not been synchronised yet"
        time.tzset()  # somebody may have set another time zone
        local = time.localtime(self._now())
        minute = local.tm_hour * 60 + local.tm_min
        return next((f"schedule {text}" for text, window in self._windows if window.holds(local.tm_wday, minute)), None)
