"""Raw pictures on their way from a source to the encoder: always the newest, never a queue."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import av

from edgecam.media.types import ControlsNow


def _keep() -> None:
    """Nothing to give back."""


@dataclass(frozen=True, slots=True)
class Captured:
    """One raw picture. `captured_ns` is CLOCK_MONOTONIC; `release` gives the buffer back to the source that made it; `small` is
    the same moment at a lower resolution, where the source has it for nothing."""

    frame: av.VideoFrame
    captured_ns: int
    release: Callable[[], None] = _keep
    small: av.VideoFrame | None = None


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source turned out to deliver. `width` and `height` are what is to be encoded, in pixels, even."""

    source: str
    pixel_format: str
    width: int
    height: int
    fps: float


class FrameSource(Protocol):
    """Where raw pictures come from. Lives in the capture process; any call may block for ever."""

    def open(self) -> SourceInfo:
        """Open the device or file. Raises CaptureError."""

    def frames(self) -> Iterator[Captured | None]:
        """Pictures as they are made, in real time, for ever; None for one that was damaged. Raises CaptureError."""

    def close(self) -> None:
        """Release what `open` took; harmless when nothing is open."""


@runtime_checkable
class Controllable(Protocol):
    """A source whose camera has controls (exposure, focus …)."""

    def set_controls(self, values: Mapping[str, Any]) -> ControlsNow:
        """Set those of the open camera, each that it takes, from any thread; how all of them stand then."""


class LatestFrame:
    """A mailbox of one: a newer picture displaces the one that nobody has taken yet.

    `captured` and `dropped` count pictures since it was made.
    """

    def __init__(self) -> None:
        self.captured = 0
        self.dropped = 0
        self._changed = threading.Condition()
        self._frame: Captured | None = None
        self._woken = False
        self._error: Exception | None = None

    @property
    def waiting(self) -> bool:
        """Whether a picture is there to be taken."""
        return self._frame is not None

    def put(self, frame: Captured) -> None:
        """Leave a picture; never waits."""
        with self._changed:
            displaced, self._frame = self._frame, frame
            self.captured += 1
            if displaced is not None:
                self.dropped += 1
            self._changed.notify()
        if displaced is not None:
            displaced.release()

    def lose(self) -> None:
        """Count a picture that never became one."""
        with self._changed:
            self.captured += 1
            self.dropped += 1

    def fail(self, error: Exception) -> None:
        """There will be no more pictures: `take` raises `error`."""
        with self._changed:
            self._error = error
            self._changed.notify()

    def wake(self) -> None:
        """Let a waiting `take` return None at once."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def take(self) -> Captured | None:
        """Wait for a picture; None when woken without one. Raises what `fail` was given."""
        with self._changed:
            while self._frame is None and self._error is None and not self._woken:
                self._changed.wait()
            self._woken = False
            if self._frame is None and self._error is not None:
                raise self._error
            frame, self._frame = self._frame, None
            return frame
