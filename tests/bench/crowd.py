"""The receivers of a contestant, in a process of their own, told what to do over a pipe."""

from __future__ import annotations

import json
import subprocess
import sys
from types import TracebackType
from typing import Self

from tests.bench.contestants import ROOT, Serving

END_WITHIN = 30.0  # seconds


class Crowd:
    """Viewers of one sender, added on demand. Use as a context manager."""

    def __init__(self, serving: Serving, *, markers: bool = False, core: int | None = None) -> None:
        pinned = ["taskset", "-c", str(core)] if core is not None else []
        extra = ["--markers"] if markers else []
        command = [*pinned, sys.executable, "-m", "tests.bench.receivers", serving.kind, serving.url, *extra]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._process.communicate(timeout=END_WITHIN)
        finally:
            self._process.kill()
            self._process.wait()

    def raise_to(self, viewers: int) -> None:
        """Until that many in all are connected."""
        answer = self._ask(str(viewers))
        assert answer == "ready", answer

    def packets(self) -> int:
        """Media packets that have reached all of them since they joined."""
        return int(self._ask("packets"))

    def profile(self) -> str:
        """The SRTP profile that was negotiated, by OpenSSL's name."""
        return self._ask("profile")

    def address(self) -> str:
        """Where the first viewer has its media sent to."""
        return self._ask("address")

    def arrivals(self) -> list[list[tuple[int, int]]]:
        """Per viewer, (RTP timestamp, CLOCK_MONOTONIC ns) of last packets since the last call."""
        return [[(stamp, at) for stamp, at in viewer] for viewer in json.loads(self._ask("arrivals"))]

    def _ask(self, order: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(order, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline().strip()
        if not answer:
            _, said = self._process.communicate(timeout=END_WITHIN)
            raise RuntimeError(f"the receivers ended: {said.strip().splitlines()[-1:]}")
        return answer
