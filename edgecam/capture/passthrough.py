"""H.264 that a camera encoded itself, on its way to the daemon untouched: completed, timed, never decoded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn, Protocol, runtime_checkable

from edgecam.capture.daemonlink import DaemonLink
from edgecam.capture.encoder import Encoded
from edgecam.capture.frames import FrameSource
from edgecam.errors import CaptureError
from edgecam.media import h264
from edgecam.media.types import CaptureReport, EncoderDemand

# Longer without a picture that decoding can begin at, and nobody could join: the stream is decoded and encoded here instead.
LONGEST_GROUP = 20.0  # seconds
PASSED_THROUGH = "passed through"  # where an encoder's name would stand
UNSUITED = "stream-unsuited"  # the code of a CaptureError that says so; CaptureProcess has the next process decode


@dataclass(frozen=True, slots=True)
class Passed:
    """One access unit of the camera: Annex B, whole. `media_ns` is its time of presentation, None when it has none."""

    data: bytes
    media_ns: int | None
    captured_ns: int


@runtime_checkable
class UnitSource(FrameSource, Protocol):
    """A source that may have access units of the camera's own making, which need no encoding here."""

    passes_through: bool
    """After `open`: whether `units` may be used instead of `frames`."""
    extradata: bytes
    """SPS and PPS that were told outside the stream, Annex B; empty when there were none."""
    keyframes_on_request: bool
    """Whether `request_keyframe` does anything."""

    def units(self) -> Iterator[Passed]:
        """As they come, for ever. Raises CaptureError."""

    def request_keyframe(self) -> None:
        """Have the camera make a keyframe soon, where there is a way to ask. From any thread."""

    def set_bitrate(self, bitrate_bps: int) -> None:
        """Have the camera keep to that, where there is a way to ask. From any thread."""


class Completer:
    """Makes access units what the daemon expects: SPS and PPS in front of every IDR picture, presentation in order.

    Raises CaptureError with the code UNSUITED for a stream that browsers could not play as it is.
    """

    def __init__(self, extradata: bytes) -> None:
        self._sets = h264.parameter_sets(extradata)
        self._last_media_ns: int | None = None
        self._keyframe_ns = time.monotonic_ns()

    @property
    def sps(self) -> bytes | None:
        return h264.find_nal(self._sets, h264.SPS)

    def complete(self, unit: Passed) -> Encoded | None:
        """None for what cannot be shown: before the first SPS, or no picture at all."""
        kinds = h264.nal_types(unit.data)
        if h264.SPS in kinds:
            self._sets = h264.parameter_sets(unit.data)
        if h264.SLICE not in kinds and h264.IDR_SLICE not in kinds:
            return None
        self._require_order(unit)
        keyframe = h264.IDR_SLICE in kinds
        if keyframe:
            self._keyframe_ns = unit.captured_ns
        elif unit.captured_ns - self._keyframe_ns > LONGEST_GROUP * 1e9:
            raise unsuited(f"it has had no IDR picture for {LONGEST_GROUP:g} s, so that nobody could join")
        if not self._sets:
            return None
        data = self._sets + unit.data if keyframe and h264.SPS not in kinds else unit.data
        return Encoded(data, keyframe, unit.captured_ns)

    def _require_order(self, unit: Passed) -> None:
        before, self._last_media_ns = self._last_media_ns, unit.media_ns
        back = before is not None and unit.media_ns is not None and -1_000_000_000 < unit.media_ns - before < 0
        if back or h264.is_bidirectional(unit.data):
            raise unsuited("it has B-frames, which WebRTC does not show")


def unsuited(why: str) -> CaptureError:
    return CaptureError(
        f"the stream cannot be passed through: {why}; it is decoded and encoded here from now on",
        remedy="turn B-frames off and set a keyframe interval of some seconds in the camera, which saves this machine the work",
        code=UNSUITED,
    )


class PassThrough:
    """Sends each unit at once. After one that could not be sent nothing is sent but a keyframe: see EncodeLoop."""

    def __init__(self, source: UnitSource, link: DaemonLink) -> None:
        self._source = source
        self._units = source.units()
        self._completer = Completer(source.extradata)
        self._link = link
        self._first: Encoded | None = None
        self._gap = False
        self._captured = 0
        self._sent = 0
        self._dropped = 0

    def begin(self) -> str:
        """Wait until the stream has said what it is; its profile-level-id."""
        while self._completer.sps is None:
            self._first = self._completer.complete(self._next())
        return h264.profile_level_id(self._completer.sps)

    def run(self) -> NoReturn:
        """Until the source or the daemon breaks; raises what broke."""
        if self._first is not None:
            self._send(self._first)
        while True:
            unit = self._next()
            self._captured += 1
            complete = self._completer.complete(unit)
            if complete is not None:
                self._send(complete)

    def heed(self, demand: EncoderDemand) -> None:
        """From another thread."""
        if demand.keyframe:
            self._source.request_keyframe()
        if demand.bitrate_bps:
            self._source.set_bitrate(demand.bitrate_bps)

    def report(self) -> CaptureReport:
        """The counters now. Called from one other thread."""
        return CaptureReport(
            frames_captured=self._captured,
            frames_dropped=0,
            units_encoded=self._sent + self._dropped,
            units_dropped=self._dropped,
            encode_ms=0.0,
        )

    def _next(self) -> Passed:
        unit = next(self._units, None)
        if unit is None:
            raise CaptureError("the stream ended", code="camera-io")
        return unit

    def _send(self, unit: Encoded) -> None:
        sent = (unit.keyframe or not self._gap) and self._link.unit(unit.data, unit.keyframe, unit.captured_ns)
        if not sent and not self._gap:
            self._source.request_keyframe()
        self._gap = not sent
        self._sent += sent
        self._dropped += not sent
