"""The sessions that failed last, each with its one diagnosis."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import Any

from edgecam.peers import PeerKey
from edgecam.rtc.ice.diagnosis import Diagnosis

REMEMBERED = 16


class Failures:
    """A ring of them; `counts` by code, since the start."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._last: deque[tuple[float, PeerKey, Diagnosis]] = deque(maxlen=REMEMBERED)

    def add(self, key: PeerKey, diagnosis: Diagnosis) -> None:
        self.counts[diagnosis.code] += 1
        self._last.append((time.time(), key, diagnosis))

    def as_list(self) -> list[dict[str, Any]]:
        """For the status document, the latest first; `at` is Unix time."""
        return [
            {"at": round(at, 1), "camera": key.camera, "via": key.via, "viewer": key.shown, **diagnosis.as_dict()}
            for at, key, diagnosis in reversed(self._last)
        ]
