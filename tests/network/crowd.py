"""Viewers on a good link, in a process of their own: what they get while somebody else's link is bad."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.network.namespaces import Machine

HOME = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Reception:
    """Of all of them together. `delay_ms`: when pictures came, against the RTP clock; only differences mean something."""

    packets_per_second: float
    pictures_per_second: float
    delay_ms: float


class Crowd:
    """`count` viewers of a WHEP endpoint, which asks for `token`, on that machine until the end of the context."""

    def __init__(self, where: Machine, url: str, token: str, count: int) -> None:
        self._origins: list[float] = []
        with where.inside():
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.network.audience", url, token, str(count)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=HOME,
            )

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=10)

    def measure(self, meanwhile: Callable[[], object]) -> Reception:
        self._ask()
        begun = time.monotonic()
        meanwhile()
        told = self._ask()
        seconds = time.monotonic() - begun
        delays = [[came - rtp / 90 for rtp, came in pictures] for pictures in told["pictures"]]
        self._origins = self._origins or [min(own) for own in delays]
        late = [each - origin for own, origin in zip(delays, self._origins, strict=True) for each in own]
        return Reception(told["packets"] / seconds, len(late) / seconds, statistics.median(late))

    def _ask(self) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))
