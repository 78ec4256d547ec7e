"""Who needs a camera's pictures, and since when nobody does."""

from __future__ import annotations

import time
from collections.abc import Callable


class Presence:
    """Everybody who watches one camera, or is about to: a viewer from its offer on, a media server, somebody who takes a snapshot.

    `needed` stays true `linger` seconds after the last one left, and is always true with `always`. `changed` is called when
    somebody enters or leaves.
    """

    def __init__(self, *, always: bool, linger: float, changed: Callable[[], None]) -> None:
        self.always = always
        self._linger = linger
        self._changed = changed
        self._here: set[object] = set()
        self._left = float("-inf")  # when the last one did, CLOCK_MONOTONIC seconds

    def apply(self, *, always: bool, linger: float) -> None:
        """Other settings from now on."""
        self.always, self._linger = always, linger
        self._changed()

    def enter(self, who: object) -> None:
        """They need pictures from now on. Idempotent."""
        self._here.add(who)
        self._changed()

    def leave(self, who: object) -> None:
        """They need none any more. Idempotent, also for those who never entered."""
        if who in self._here:
            self._here.remove(who)
            self._left = time.monotonic()
            self._changed()

    @property
    def needed(self) -> bool:
        return self.always or bool(self._here) or self.lingers > 0

    @property
    def lingers(self) -> float:
        """Seconds that it stays open for nobody, as things are."""
        return 0.0 if self._here else self._left + self._linger - time.monotonic()
