"""Newest picture in, access unit out: the heart of a capture process."""

from __future__ import annotations

import threading
import time
from typing import NoReturn

from edgecam.capture.daemonlink import DaemonLink
from edgecam.capture.encoder import Encoded, H264Encoder
from edgecam.capture.frames import Captured, LatestFrame
from edgecam.media.types import CaptureReport


class Demands:
    """What the daemon last asked for, until the encoder takes it. Any thread may add."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keyframe = False
        self._bitrate_bps: int | None = None

    def add(self, bitrate_bps: int, keyframe: bool) -> None:
        with self._lock:
            self._bitrate_bps = bitrate_bps
            self._keyframe |= keyframe

    def take(self) -> tuple[int | None, bool]:
        """(bitrate when there is a new one, whether a keyframe is wanted)."""
        with self._lock:
            taken = (self._bitrate_bps, self._keyframe)
            self._bitrate_bps, self._keyframe = None, False
            return taken


class EncodeLoop:
    """Encodes the newest picture and sends the unit at once. After a unit that could not be sent come only keyframes:
    what follows a gap cannot be decoded.
    """

    def __init__(
        self, mailbox: LatestFrame, encoder: H264Encoder, link: DaemonLink, demands: Demands
    ) -> None:
        self._mailbox = mailbox
        self._encoder = encoder
        self._link = link
        self._demands = demands
        self._gap = False  # a unit was lost on the way; nothing but a keyframe may follow
        self._units = 0
        self._units_dropped = 0
        self._encode_seconds = 0.0
        self._reported = (0, 0.0)  # units and seconds of encoding up to the last report

    def run(self) -> NoReturn:
        """Until the source or the daemon breaks; raises what broke."""
        while True:
            picture = self._mailbox.take()
            if picture is not None:
                self._encode(picture)
                picture.release()

    def _encode(self, picture: Captured) -> None:
        bitrate_bps, keyframe = self._demands.take()
        if bitrate_bps is not None:
            self._encoder.set_bitrate(bitrate_bps)
        if self._gap and self._link.caught_up():
            keyframe = True
        started = time.perf_counter()
        units = self._encoder.encode(picture.frame, picture.captured_ns, keyframe)
        self._encode_seconds += time.perf_counter() - started
        for unit in units:
            self._send(unit)

    def _send(self, unit: Encoded) -> None:
        self._units += 1
        sent = (unit.keyframe or not self._gap) and self._link.unit(
            unit.data, unit.keyframe, unit.captured_ns
        )
        self._gap = not sent
        self._units_dropped += not sent

    def report(self) -> CaptureReport:
        """The counters now; `encode_ms` is the mean since the last call. Called from one other thread."""
        units, seconds = self._units, self._encode_seconds
        fresh, spent = units - self._reported[0], seconds - self._reported[1]
        self._reported = (units, seconds)
        return CaptureReport(
            frames_captured=self._mailbox.captured,
            frames_dropped=self._mailbox.dropped,
            units_encoded=units,
            units_dropped=self._units_dropped,
            encode_ms=round(1000 * spent / fresh, 3) if fresh else 0.0,
        )
