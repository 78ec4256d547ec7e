"""Newest picture in, access units out, one a rendition: the heart of a capture process."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NoReturn

import av

from edgecam.capture.daemonlink import DaemonLink
from edgecam.capture.encoder import Encoded, H264Encoder
from edgecam.capture.frames import Captured, LatestFrame
from edgecam.capture.overlay import Overlay, own_copy
from edgecam.capture.truth import PictureTruth
from edgecam.errors import CaptureError
from edgecam.media.types import CaptureReport, EncoderDemand

MIN_GAIN_NS = 10_000_000  # a keyframe that much earlier is worth encoding a picture twice


class Demands:
    """What the daemon last asked for in each rendition, until the encoders take it. Any thread may add."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._new: dict[int, EncoderDemand] = {}

    def add(self, demand: EncoderDemand) -> None:
        with self._lock:
            before = self._new.get(demand.rendition)
            if before is not None and before.keyframe and demand.bitrate_bps:
                demand = replace(demand, keyframe=True)
            self._new[demand.rendition] = demand

    def take(self) -> Collection[EncoderDemand]:
        """Those that are new, one a rendition at most."""
        if not self._new:
            return ()
        with self._lock:
            taken, self._new = self._new, {}
            return taken.values()


class _Rendition:
    """An encoder, whether it is needed, and what has become of its units."""

    __slots__ = ("encoder", "gap", "index", "keyframe", "running", "skipped")

    def __init__(self, index: int, encoder: H264Encoder) -> None:
        self.index = index
        self.encoder = encoder
        self.running = index == 0
        self.keyframe = False  # wanted with the next picture
        self.gap = False  # a unit was lost on the way; nothing but a keyframe may follow
        self.skipped = False  # the last picture

    def heed(self, demand: EncoderDemand) -> None:
        self.keyframe |= demand.keyframe or not self.running
        self.running = demand.bitrate_bps > 0
        if self.running:
            self.encoder.set_bitrate(demand.bitrate_bps, demand.every, demand.ceiling_bps)


class EncodeLoop:
    """Encodes the newest picture in every rendition that is needed, the full size first, and sends each unit at once.

    `encoders` are those of the renditions, best first. As long as nobody says otherwise, or when nobody needs any, the first is
    encoded. Each picture is scaled down from the next larger one. The smaller renditions miss a picture, not two in a
    row, when the next one is already waiting for the larger ones.

    Of the pictures that the demands leave out none is encoded, unless somebody waits for a keyframe: that is made of the next
    one, and counting begins anew.

    After a unit that could not be sent nothing is sent of its rendition but a keyframe: what follows a gap cannot be
    decoded. A keyframe that is asked for long before the next picture is made from the last one, its time moved on as
    if the camera delivered it again now; a newcomer need not wait for a slow camera. `truth` sees the pictures after they
    were sent, and without the `overlay`.
    """

    def __init__(
        self,
        mailbox: LatestFrame,
        encoders: Sequence[H264Encoder],
        link: DaemonLink,
        demands: Demands,
        truth: PictureTruth | None = None,
        overlay: Overlay | None = None,
    ) -> None:
        self._mailbox = mailbox
        self._truth = truth
        self._overlay = overlay
        self._renditions = [_Rendition(index, encoder) for index, encoder in enumerate(encoders)]
        self._link = link
        self._demands = demands
        self._every = 1  # picture of so many is encoded
        self._left_out = 0  # pictures since the last one that was
        self._last: Captured | None = None
        self._last_taken_ns = 0  # when the last picture came out of the mailbox, CLOCK_MONOTONIC
        self._last_encode_ns = 0  # how long it took
        self._pictures = 0
        self._units = 0
        self._units_dropped = 0
        self._handed_ns = 0  # since when the full size has been in the encoder and nothing has come out, CLOCK_MONOTONIC; else 0
        self._encode_seconds = 0.0
        self._reported = (0, 0.0)  # pictures and seconds of encoding up to the last report

    def run(self) -> NoReturn:
        """Until the source or the daemon breaks; raises what broke."""
        while True:
            picture = self._mailbox.take()
            if picture is not None:
                self._last_taken_ns = time.monotonic_ns()
                self.encode(picture.frame, picture.captured_ns, picture.small)
                if self._truth is not None:
                    self._truth.see(picture.frame, self._last_taken_ns)
                if self._last is not None:
                    self._last.release()
                self._last = picture
            elif self._last is not None:
                self._repeat(self._last)

    def encode(self, frame: av.VideoFrame, captured_ns: int, small: av.VideoFrame | None = None) -> None:
        """Encode one picture as the demands say, and send what comes out. `small`: of the smaller renditions, if there is one."""
        self._heed()
        if self._leave_out():
            return
        started_ns = time.monotonic_ns()
        drawn = False  # the overlay: what is made from such a picture has it too
        for rendition in self._renditions:
            if rendition.index and small is not None:
                frame, small, drawn = small, None, False
            if rendition.running:
                frame, drawn = self._fitted(rendition, frame, captured_ns, drawn=drawn), True
                if not self._skip(rendition):
                    self._encode(rendition, frame, captured_ns)
        self._count(started_ns)

    def _repeat(self, picture: Captured) -> None:
        self._heed()
        wanted = [each for each in self._renditions if each.running and each.keyframe and each.encoder.immediate]
        since_ns = time.monotonic_ns() - self._last_taken_ns
        left_ns = self._renditions[0].encoder.interval_ns - since_ns
        # The next picture must find the encoder free, and be worth not waiting for.
        if not wanted or left_ns <= max(MIN_GAIN_NS, 2 * self._last_encode_ns):
            return
        self._left_out = 0
        started_ns = time.monotonic_ns()
        for rendition in wanted:
            frame = picture.small if rendition.index and picture.small is not None else picture.frame
            fitted = self._fitted(rendition, frame, picture.captured_ns + since_ns, drawn=False)
            self._encode(rendition, fitted, picture.captured_ns + since_ns)
        self._count(started_ns)

    def _fitted(self, rendition: _Rendition, frame: av.VideoFrame, captured_ns: int, *, drawn: bool) -> av.VideoFrame:
        """The picture at the rendition's size, with the overlay. The source's own is never drawn on."""
        fitted = rendition.encoder.fit(frame)
        if self._overlay is None or drawn:
            return fitted
        return self._overlay.draw(own_copy(fitted) if fitted is frame else fitted, captured_ns)

    def _heed(self) -> None:
        for demand in self._demands.take():
            self._every = max(1, demand.every)
            if demand.rendition < len(self._renditions):
                self._renditions[demand.rendition].heed(demand)
        if not any(rendition.running for rendition in self._renditions):
            self._renditions[0].running = self._renditions[0].keyframe = True

    def _leave_out(self) -> bool:
        self._left_out += 1
        if self._left_out < self._every and not any(each.running and each.keyframe for each in self._renditions):
            return True
        self._left_out = 0
        return False

    def _skip(self, rendition: _Rendition) -> bool:
        late = bool(rendition.index) and not rendition.keyframe and not rendition.skipped and self._mailbox.waiting
        rendition.skipped = late
        return late

    def _encode(self, rendition: _Rendition, frame: av.VideoFrame, captured_ns: int) -> None:
        keyframe, rendition.keyframe = rendition.keyframe, False
        if rendition.gap and self._link.caught_up():
            keyframe = True
        if not rendition.index and not self._handed_ns:
            self._handed_ns = time.monotonic_ns()
        try:
            units = rendition.encoder.encode(frame, captured_ns, keyframe)
        except av.FFmpegError as error:
            raise CaptureError(
                f"{rendition.encoder.name} failed ({error.strerror})",
                remedy='set encoder = "libx264" if this repeats',
                code="encoder-failed",
            ) from error
        if units and not rendition.index:
            self._handed_ns = 0
        for unit in units:
            self._send(rendition, unit)

    @property
    def encoding(self) -> int:
        """When the full size's encoder was given the picture that it owes a unit for, CLOCK_MONOTONIC nanoseconds; 0 when it owes
        none. From any thread."""
        return self._handed_ns

    @property
    def encoder(self) -> H264Encoder:
        return self._renditions[0].encoder

    def _send(self, rendition: _Rendition, unit: Encoded) -> None:
        self._units += 1
        sent = (unit.keyframe or not rendition.gap) and self._link.unit(
            unit.data, unit.keyframe, unit.captured_ns, rendition.index
        )
        rendition.gap = not sent
        self._units_dropped += not sent

    def _count(self, started_ns: int) -> None:
        self._pictures += 1
        self._last_encode_ns = time.monotonic_ns() - started_ns
        self._encode_seconds += self._last_encode_ns / 1e9

    def report(self) -> CaptureReport:
        """The counters now; `encode_ms` is the mean since the last call. Called from one other thread."""
        pictures, seconds = self._pictures, self._encode_seconds
        fresh, spent = pictures - self._reported[0], seconds - self._reported[1]
        self._reported = (pictures, seconds)
        return CaptureReport(
            frames_captured=self._mailbox.captured,
            frames_dropped=self._mailbox.dropped,
            units_encoded=self._units,
            units_dropped=self._units_dropped,
            encode_ms=round(1000 * spent / fresh, 3) if fresh else 0.0,
            picture=self._truth.state if self._truth is not None else "",
        )
