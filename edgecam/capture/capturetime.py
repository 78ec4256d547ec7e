"""When something was captured, on CLOCK_MONOTONIC: drivers' timestamps are of several clocks, and only a recent one is believed."""

from __future__ import annotations

import time

MAX_AGE_NS = 2_000_000_000  # an older timestamp is of some other clock,
MAX_AHEAD_NS = 5_000_000  # and so is one from further in the future


def recent(captured_ns: int, now_ns: int) -> bool:
    """Whether that may be when something was captured that is there now."""
    return -MAX_AHEAD_NS <= now_ns - captured_ns <= MAX_AGE_NS


def v4l2_time(timestamp_us: int, now_ns: int) -> int:
    """Nanoseconds: the driver's timestamp where it is of CLOCK_MONOTONIC, else `now_ns`."""
    return timestamp_us * 1000 if recent(timestamp_us * 1000, now_ns) else now_ns


def libcamera_time(timestamp_ns: int | None, now_ns: int) -> int:
    """Nanoseconds of the sensor's timestamp, which libcamera defines as CLOCK_BOOTTIME and drivers take from CLOCK_MONOTONIC;
    `now_ns` for one of neither clock."""
    if timestamp_ns is None:
        return now_ns
    slept_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    return next((each for each in (timestamp_ns, timestamp_ns - slept_ns) if recent(each, now_ns)), now_ns)


def wall_time(timestamp_ns: int, now_ns: int) -> int:
    """Nanoseconds of a time of the wall clock, which FFmpeg gives sound; `now_ns` for one of another clock, or ahead."""
    captured_ns = now_ns - (time.time_ns() - timestamp_ns)
    return min(captured_ns, now_ns) if recent(captured_ns, now_ns) else now_ns
