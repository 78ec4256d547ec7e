"""Too little memory: when nobody new is let in, and the step that follows. Pure."""

from __future__ import annotations

from edgecam.governors.memory import STALLED, Memory
from edgecam.governors.steps import SHORT_OF_MEMORY, Steps, Verdict

ENOUGH = 1.5  # times the limit must be free before it is called enough again


class Shortage:
    """`limit`: bytes that are to be free, 0 for none. `low` holds from the first reading below it until there is enough."""

    def __init__(self, limit: int, steps: Steps) -> None:
        self.steps = steps
        self.low = False
        self._limit = limit

    def apply(self, limit: int) -> None:
        """Another limit from now on."""
        self._limit = limit

    def judge(self, memory: Memory | None, now: float) -> int:
        """The level of `steps` from now on."""
        verdict = Verdict.GOOD
        if memory is not None and self._limit:
            if memory.available < self._limit or memory.stalled >= STALLED:
                verdict, self.low = Verdict.FAIR, True
            elif memory.available < ENOUGH * self._limit or memory.stalled >= STALLED / 2:
                verdict = Verdict.FAIR
        if verdict is Verdict.GOOD:
            self.low = False
        return self.steps.judge(verdict, now, SHORT_OF_MEMORY if self.low else 0)
