"""The few values that flow: access units forward, one small demand back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

RTP_CLOCK = 90_000  # Hz, RFC 6184 section 8.2.1


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One encoded picture, H.264 Annex B (ITU-T H.264 7.4.1.2.3).

    `data` begins with a start code; a keyframe's carries SPS and PPS before the IDR slice.
    `timestamp` counts 90 kHz ticks of CLOCK_MONOTONIC, not wrapped, so it never jumps when a camera restarts.
    `captured_ns` and `received_ns` are CLOCK_MONOTONIC nanoseconds: sensor (or best guess) and arrival in the daemon.
    """

    data: bytes
    keyframe: bool
    timestamp: int
    captured_ns: int
    received_ns: int


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What a source turned out to be, once open. Shown in status; `reason` says why this encoder was chosen."""

    source: str  # e.g. "v4l2 /dev/video0 (Fake Camera)"
    pixel_format: str  # e.g. "yuyv422", "mjpeg"
    width: int
    height: int
    fps: float
    encoder: str  # e.g. "libx264"
    reason: str  # e.g. "h264_v4l2m2m: no device that encodes; libx264 works"
    profile_level_id: str  # six hex digits, RFC 6184 section 8.1, read from the real SPS, e.g. "42c01f"


@dataclass(frozen=True, slots=True)
class CaptureReport:
    """Counters since the source was opened, sent about once a second."""

    frames_captured: int
    frames_dropped: int  # captured but never encoded: the encoder was slower than the camera
    units_encoded: int
    units_dropped: int  # encoded but not sent: the daemon was not reading
    encode_ms: float  # mean of the last second


@dataclass(frozen=True, slots=True)
class EncoderDemand:
    """The one value that flows backwards: what the viewers need from the encoder."""

    bitrate_bps: int
    keyframe: bool = False


class UnitSink(Protocol):
    """Who receives what a source makes; every call is quick and never raises."""

    def opened(self, info: StreamInfo) -> None: ...
    def unit(self, unit: AccessUnit) -> None: ...
    def report(self, report: CaptureReport) -> None: ...


class VideoSource(Protocol):
    """A camera that is captured and encoded somewhere else, delivered as access units."""

    async def run(self, sink: UnitSink) -> None:
        """Open, deliver until broken, release; raises RetryableError when broken, never returns otherwise."""

    def apply(self, demand: EncoderDemand) -> None:
        """Pass a demand to the encoder; dropped silently while the source is not open."""
