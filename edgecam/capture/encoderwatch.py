"""An encoder that takes pictures and gives nothing back, told from a camera that gives none."""

from __future__ import annotations

import time

from edgecam.capture.candidates import SOFTWARE
from edgecam.capture.encodeloop import EncodeLoop
from edgecam.errors import CaptureError

SHARE = 0.6  # of the stall timeout: the daemon, which knows only that nothing comes, is to hear the reason first
MOST_AT_ONCE_NS = 500_000_000  # of a machine that stood still between two looks no more is the encoder's
PICTURES = 5  # that a hardware encoder may hold before its first unit


class EncoderWatch:
    """Looks, from a thread of its own, how long the encoder has owed a unit. The camera's own stall is the daemon's to notice."""

    def __init__(self, loop: EncodeLoop, stall_timeout: float) -> None:
        self._loop = loop
        self._limit_ns = max(round(SHARE * stall_timeout * 1e9), PICTURES * loop.encoder.interval_ns)
        self._since_ns = 0
        self._looked_ns = time.monotonic_ns()
        self._owed_ns = 0

    def look(self) -> CaptureError | None:
        """What to say of an encoder that hangs; to be called several times a second."""
        now_ns = time.monotonic_ns()
        passed_ns, self._looked_ns = now_ns - self._looked_ns, now_ns
        since_ns = self._loop.encoding
        if not since_ns or since_ns != self._since_ns:
            self._since_ns, self._owed_ns = since_ns, 0
            passed_ns = min(passed_ns, now_ns - since_ns) if since_ns else 0
        self._owed_ns += min(passed_ns, MOST_AT_ONCE_NS)
        if not since_ns or self._owed_ns < self._limit_ns:
            return None
        name = self._loop.encoder.name
        return CaptureError(
            f"{name} took a picture {self._owed_ns / 1e9:.1f} s ago and has given nothing back",
            remedy="give this machine less to do: fps, size" if name == SOFTWARE else 'set encoder = "libx264" if this repeats',
            code="encoder-failed",
        )
