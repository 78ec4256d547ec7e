"""Newest picture in, access unit out: the heart of a capture process."""

from __future__ import annotations

import threading
import time
from typing import NoReturn

import av

from edgecam.capture.daemonlink import DaemonLink
from edgecam.capture.encoder import Encoded, H264Encoder
from edgecam.capture.frames import Captured, LatestFrame
from edgecam.errors import CaptureError
from edgecam.media.types import CaptureReport

MIN_GAIN_NS = 10_000_000  # a keyframe that much earlier is worth encoding a picture twice


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

    @property
    def keyframe(self) -> bool:
        """Whether a keyframe is wanted."""
        return self._keyframe

    def take(self) -> tuple[int | None, bool]:
        """(bitrate when there is a new one, whether a keyframe is wanted)."""
        with self._lock:
            taken = (self._bitrate_bps, self._keyframe)
            self._bitrate_bps, self._keyframe = None, False
            return taken


class EncodeLoop:
    """Encodes the newest picture and sends the unit at once.

    After a unit that could not be sent nothing is sent but a keyframe: what follows a gap cannot be decoded. A keyframe
    that is asked for long before the next picture is made from the last one, its time moved on as if the camera
    delivered it again now; a newcomer need not wait for a slow camera.
    """

    def __init__(self, mailbox: LatestFrame, encoder: H264Encoder, link: DaemonLink, demands: Demands) -> None:
        self._mailbox = mailbox
        self._encoder = encoder
        self._link = link
        self._demands = demands
        self._last: Captured | None = None
        self._last_taken_ns = 0  # when the last picture came out of the mailbox, CLOCK_MONOTONIC
        self._last_encode_ns = 0  # how long it took
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
                self._last_taken_ns = time.monotonic_ns()
                self.encode(picture.frame, picture.captured_ns)
                if self._last is not None:
                    self._last.release()
                self._last = picture
            elif self._last is not None and self._demands.keyframe and self._encoder.immediate:
                self._repeat(self._last)

    def _repeat(self, picture: Captured) -> None:
        since_ns = time.monotonic_ns() - self._last_taken_ns
        left_ns = self._encoder.interval_ns - since_ns
        # The next picture must find the encoder free, and be worth not waiting for.
        if left_ns > max(MIN_GAIN_NS, 2 * self._last_encode_ns):
            self.encode(picture.frame, picture.captured_ns + since_ns)

    def encode(self, frame: av.VideoFrame, captured_ns: int) -> None:
        """Encode one picture as the demands say, and send what comes out."""
        bitrate_bps, keyframe = self._demands.take()
        if bitrate_bps is not None:
            self._encoder.set_bitrate(bitrate_bps)
        if self._gap and self._link.caught_up():
            keyframe = True
        started_ns = time.monotonic_ns()
        try:
            units = self._encoder.encode(frame, captured_ns, keyframe)
        except av.FFmpegError as error:
            raise CaptureError(
                f"{self._encoder.name} failed ({error.strerror})",
                remedy='set encoder = "libx264" if this repeats',
                code="encoder-failed",
            ) from error
        self._last_encode_ns = time.monotonic_ns() - started_ns
        self._encode_seconds += self._last_encode_ns / 1e9
        for unit in units:
            self._send(unit)

    def _send(self, unit: Encoded) -> None:
        self._units += 1
        sent = (unit.keyframe or not self._gap) and self._link.unit(unit.data, unit.keyframe, unit.captured_ns)
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
