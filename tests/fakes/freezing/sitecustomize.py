"""Python imports this at start where its directory is on PYTHONPATH: SIGUSR1 freezes a part of a daemon or capture process.

$FREEZE_FILE names a file with the part's name. Parts are broken from outside, by what they are made of: the code itself knows
nothing of this.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOR_EVER = 3600.0  # seconds


def _loop() -> None:
    """The event loop: a callback does not come back."""
    time.sleep(FOR_EVER)


def _backoff() -> None:
    """A supervisor that waits, and never tries again."""
    from edgecam import supervisor

    class Asyncio:
        def __getattr__(self, name: str) -> Any:
            return getattr(asyncio, name)

        async def sleep(self, _seconds: float) -> None:
            await asyncio.Event().wait()

    supervisor.asyncio = Asyncio()  # type: ignore[attr-defined, assignment]


def _attempt() -> None:
    """A supervisor whose attempt neither works nor ends."""
    from edgecam.capture.process import CaptureProcess

    async def capture(*_arguments: object) -> None:
        await asyncio.Event().wait()

    CaptureProcess._capture = capture  # type: ignore[method-assign, assignment]


def _ended() -> None:
    """A supervisor's task that is gone, without a word to anybody."""
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "camera front"]
    task.cancel()


def _shutter() -> None:
    """What opens a camera for whom it is closed."""
    from edgecam.media.shutter import Shutter

    Shutter._stir.__code__ = (lambda _self: None).__code__


def _publish() -> None:
    """The fan-out of units to viewers."""
    from edgecam.media.broadcaster import Broadcaster

    Broadcaster.publish = lambda _self, _unit: None  # type: ignore[method-assign, assignment]


def _deliver() -> None:
    """What turns units into a viewer's packets: feeds hold the method, so its code is replaced."""
    from edgecam.rtc.sending.lockstep import Convoy
    from edgecam.rtc.sending.sender import ViewerSender

    ViewerSender.deliver.__code__ = (lambda _self, _unit: None).__code__
    Convoy._template.__code__ = (lambda _self, _unit: None).__code__  # it leaves to `deliver` what it cannot send


def _pacer() -> None:
    """The timer that sends what did not go at once."""
    from edgecam.rtc.sending.pacer import Pacer

    Pacer._tick.__code__ = (lambda _self: None).__code__


def _encoder() -> None:
    """In a capture process: the thread that encodes, which is the one that handles signals."""
    time.sleep(FOR_EVER)


def _sensor() -> None:
    """In a capture process: the thread that reads the camera."""
    from edgecam.capture.frames import LatestFrame

    def put(*_arguments: object) -> None:
        time.sleep(FOR_EVER)

    LatestFrame.put = put  # type: ignore[method-assign, assignment]


PARTS: dict[str, Callable[[], None]] = {
    "loop": _loop, "backoff": _backoff, "attempt": _attempt, "ended": _ended, "shutter": _shutter, "publish": _publish, "deliver": _deliver,
    "pacer": _pacer, "encoder": _encoder, "sensor": _sensor,
}  # fmt: skip


def _freeze(_number: int, _frame: object) -> None:
    PARTS[Path(os.environ["FREEZE_FILE"]).read_text()]()


if "FREEZE_FILE" in os.environ and threading.current_thread() is threading.main_thread() and "edgecam" in " ".join(sys.orig_argv):
    signal.signal(signal.SIGUSR1, _freeze)
