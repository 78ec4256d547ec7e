"""Waiting for what another process does: ask again until it is so, under a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

INTERVAL = 0.05  # seconds between two looks at another process, which cannot call us


def until(ask: Callable[[], T | None], *, within: float, what: str, explain: Callable[[], object] = lambda: "") -> T:
    """The first truthy answer of `ask`. Fails after `within` seconds with `what` and what `explain` says."""
    deadline = time.monotonic() + within
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {what}; {explain()}".rstrip("; "))
        time.sleep(INTERVAL)
