"""Whether a changed configuration has made health worse. Pure: time and states are given.

Worse means: a component that was ready before, that is still configured, and that the change may have touched, is not ready, and
that for GRACE seconds without a break, or when the trial ends. What was added and does not work yet was not ready before, and
what the change has nothing to do with is somebody else's trouble: neither is worse.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

GRACE = 15.0  # seconds: a camera that is opened anew, or a server that is connected to again, may take some


class Trial:
    """`ready`: components that were ready before. `touched` says of a component whether the change may be what ails it.
    `began` and `now` are seconds of one clock."""

    def __init__(self, ready: Collection[str], touched: Callable[[str], bool], began: float, length: float) -> None:
        self.ready = frozenset(ready)
        self._watched = frozenset(filter(touched, self.ready))
        self._ends = began + length
        self._grace = min(GRACE, length / 2)
        self._unready_since: dict[str, float] = {}

    def worse(self, ready: Mapping[str, bool], now: float) -> list[str]:
        """The components that the change has made worse, given who is on the board and whether it is ready."""
        for name in self._watched:
            if ready.get(name, True):
                self._unready_since.pop(name, None)
            else:
                self._unready_since.setdefault(name, now)
        ended = self.over(now)
        return sorted(name for name, since in self._unready_since.items() if ended or now - since >= self._grace)

    def over(self, now: float) -> bool:
        """Whether it has lasted long enough for a verdict."""
        return now >= self._ends
