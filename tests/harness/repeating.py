"""Measuring again when something else than what is tested was to blame."""

from __future__ import annotations

import time
from collections.abc import Callable

ATTEMPTS = 3
CALMER = 5.0  # seconds; what takes processors away may be over by then


def repeated(act: Callable[[], None], blamed: Callable[[], str]) -> None:
    """Act. What fails is repeated if `blamed`, asked after each failure, names something; empty: it was what is tested."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return act()
        except AssertionError as error:
            excuse = blamed()
            if not excuse or attempt == ATTEMPTS:
                raise
            print(f"attempt {attempt} of {ATTEMPTS}: {error}, but {excuse}")
            time.sleep(CALMER)
    return None
