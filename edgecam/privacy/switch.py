"""One camera's privacy: private while anybody says so, and in doubt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import structlog

from edgecam.errors import FatalError
from edgecam.privacy.latch import Latch, Latched, LatchUnreadableError

log = structlog.get_logger(__name__)

LOOK_EVERY = 0.5  # seconds between two looks at what announces nothing: a file, the clock, a GPIO line
OPERATOR = "operator"  # whoever used the API or the command line


class PrivacySource(Protocol):
    """Something that may say that a camera is private."""

    kind: str  # `file`, `schedule`, `gpio`

    def look(self) -> str | None:
        """Why the camera is private now, for people; None when as far as this is concerned it is not. Quick, never raises: what
        cannot be known is a reason too."""


class PrivacySwitch:
    """Private until everything has been looked at once, and from then on while the latch or any source says so.

    `reasons` maps who says so (`operator`, `schedule`, `file`, `gpio`) to why; `since` is Unix time. Single-threaded.
    """

    def __init__(self, camera: str, latch: Latch | None, sources: Sequence[PrivacySource] = ()) -> None:
        self.camera = camera
        self.reasons: dict[str, str] = {"start": "nobody has looked at its switches yet"}
        self.since = time.time()
        self._latch = latch
        self._sources = sources
        self._said: str | None = None  # why the latch says private
        self._listeners: list[Callable[[], None]] = []
        self._setting = asyncio.Lock()

    @property
    def private(self) -> bool:
        return bool(self.reasons)

    @property
    def detail(self) -> str:
        """For people: since when, and why."""
        return f"private since {time.strftime('%F %H:%M:%S', time.localtime(self.since))}: {'; '.join(self.reasons.values())}"

    def as_dict(self) -> dict[str, Any]:
        """For the API."""
        return {
            "private": self.private,
            "by": list(self.reasons),
            "reasons": list(self.reasons.values()),
            "since": round(self.since, 3) if self.private else None,
        }

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` after every change of `reasons`, on the loop; it must be quick. Returns what ends that."""
        self._listeners.append(listener)
        return partial(self._listeners.remove, listener)

    async def until_public(self) -> None:
        """Wait until it is not private."""
        changed = asyncio.Event()
        stop = self.listen(changed.set)
        try:
            while self.private:
                changed.clear()
                await changed.wait()
        finally:
            stop()

    def begin(self, before: PrivacySwitch | None = None) -> None:
        """Read what was latched, and look at everything once. `before`: the camera's switch until now, which may have been told
        what could not be kept on the disk."""
        latched = None
        try:
            latched = self._latch.read() if self._latch is not None else None
        except LatchUnreadableError as error:
            self._said = f"what was set last is not known: {error}"
            log.warning("privacy.unreadable", camera=self.camera, reason=str(error), remedy="set it anew: edgecam privacy CAMERA off")
        else:
            self._said = f"switched on by {latched.by}" if latched is not None and latched.private else None
        if self._said is None and before is not None:
            self._said = before._said
        self.look()
        if self._said is not None and latched is not None:
            self.since = latched.since

    def look(self) -> None:
        """See what everybody says now."""
        said = {OPERATOR: self._said, **{source.kind: _said_by(source) for source in self._sources}}
        self._become({kind: why for kind, why in said.items() if why is not None})

    async def run(self) -> None:
        """Look again and again, for ever; with nothing to look at, return."""
        while self._sources:
            await asyncio.sleep(LOOK_EVERY)
            self.look()

    async def set(self, *, private: bool, by: str) -> None:
        """Latch it. Private at once and then kept; public only once that has been kept. Raises FatalError (privacy-not-kept)
        when it cannot be: the camera is private then, until the next restart at least."""
        async with self._setting:
            if private:
                self._said = f"switched on by {by}"
                self.look()
            await self._keep(Latched(private, round(self.since if private else time.time(), 3), by))
            if not private:
                self._said = None
                self.look()

    async def _keep(self, latched: Latched) -> None:
        if self._latch is None:
            return
        try:
            await asyncio.to_thread(self._latch.set, latched)
        except OSError as error:
            now = "the camera is private now, and would not be after a restart" if latched.private else "the camera stays private"
            raise FatalError(
                f"{self._latch.path} cannot be written ({error.strerror or error}): {now}",
                remedy="make room there, or make state_dir writable for edgecam's user",
                code="privacy-not-kept",
            ) from error

    def _become(self, reasons: dict[str, str]) -> None:
        before, self.reasons = self.reasons, reasons
        if before == reasons:
            return
        if bool(before) != bool(reasons) or "start" in before:
            self.since = time.time()
            log.info("privacy.changed", camera=self.camera, private=self.private, reasons=list(reasons.values()) or None)
        for listener in tuple(self._listeners):
            listener()


def _said_by(source: PrivacySource) -> str | None:
    """What it says; whatever keeps it from saying anything, the camera stays closed."""
    try:
        return source.look()
    except Exception as error:  # noqa: BLE001 - see above
        return f"its {source.kind} cannot be looked at: {error!r}"


def never_private(camera: str) -> PrivacySwitch:
    """The switch of a camera that nobody can make private: for trials, and for tests."""
    switch = PrivacySwitch(camera, None)
    switch.look()
    return switch
