"""Waiting for what another process does: ask again until it is so, under a deadline of a machine that is ours."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tests.harness.stolen import Stolen

T = TypeVar("T")

INTERVAL = 0.05  # seconds between two looks at another process, which cannot call us


class Patience:
    """So many seconds, from when it was made; more, as far as a host took our processors meanwhile."""

    def __init__(self, within: float) -> None:
        self._within, self._begun, self._stolen = within, time.monotonic(), Stolen()

    @property
    def ended(self) -> bool:
        passed = time.monotonic() - self._begun
        return passed > self._within and passed > self._within * self._stolen.slowdown


def until(
    ask: Callable[[], T | None],
    *,
    within: float,
    what: str,
    explain: Callable[[], object] = lambda: "",
    interval: float = INTERVAL,
) -> T:
    """The first truthy answer of `ask`. Fails after `within` seconds with `what` and what `explain` says."""
    patience = Patience(within)
    while True:
        answer = ask()
        if answer:
            return answer
        if patience.ended:
            raise AssertionError(f"not within {within:g} s: {what}; {explain()}".rstrip("; "))
        time.sleep(interval)
