"""Glass-to-glass latency as viewers measure it: their reports, read without trust, and what is kept of them. Pure.

The page sends text in JSON every few seconds, and gets an answer to each:

    {"ping": T, "latency": [P50, P95, FRAMES]}     T: any number; latency: milliseconds, once there is any
    {"pong": T, "rtp": R}                          R: the RTP timestamp that a picture captured now would have

With the quickest answer the page knows the camera's RTP clock in terms of its own, and so when each picture that it
shows was captured: no wall clock has to be right. The error is half of that answer's round trip at most.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TypeGuard

MAX_MESSAGE = 200  # characters; a report is half as long
LONGEST_MS = 60_000.0
MOST_FRAMES = 10_000
FRESH = 15.0  # seconds that a report counts as the present


@dataclass(frozen=True, slots=True)
class Latency:
    """Median and 95th percentile, milliseconds from capture to display, of the frames shown since the last report."""

    p50_ms: float
    p95_ms: float
    frames: int


@dataclass(frozen=True, slots=True)
class Report:
    """A message. `ping` goes back as it came."""

    ping: float
    latency: Latency | None


def parse(message: object) -> Report | None:
    """A page's message; None for anything that is none."""
    if not isinstance(message, str) or len(message) > MAX_MESSAGE:
        return None
    try:
        document = json.loads(message)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or not _number(ping := document.get("ping"), 1e15):
        return None
    return Report(ping, _latency(document.get("latency")))


def answer(report: Report, rtp_timestamp: int) -> str:
    return json.dumps({"pong": report.ping, "rtp": rtp_timestamp})


def _latency(found: object) -> Latency | None:
    match found:
        case [p50, p95, frames] if _number(p95, LONGEST_MS) and _number(p50, p95) and _number(frames, MOST_FRAMES):
            return Latency(float(p50), float(p95), int(frames))
        case _:
            return None


def _number(value: object, most: float) -> TypeGuard[float]:
    """JSON as Python reads it may hold NaN, infinity and integers of any size."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most


class LatencyLog:
    """A viewer's last report. Times are CLOCK_MONOTONIC seconds."""

    __slots__ = ("_at", "_last")

    def __init__(self) -> None:
        self._last: Latency | None = None
        self._at = 0.0

    def take(self, latency: Latency, now: float) -> None:
        self._last, self._at = latency, now

    def current(self, now: float) -> Latency | None:
        """None when the viewer has not said anything lately: a page in the background shows no pictures."""
        return self._last if now - self._at <= FRESH else None
