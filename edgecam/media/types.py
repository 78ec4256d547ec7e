"""The few values that flow: access units forward, one small demand back."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Protocol, runtime_checkable

RTP_CLOCK = 90_000  # Hz, RFC 6184 section 8.2.1


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One encoded picture, H.264 Annex B (ITU-T H.264 7.4.1.2.3).

    `data` begins with a start code; a keyframe's carries SPS and PPS before the IDR slice.
    `timestamp` counts 90 kHz ticks of CLOCK_MONOTONIC, not wrapped, so it never jumps when a camera restarts.
    `captured_ns` and `received_ns` are CLOCK_MONOTONIC nanoseconds: sensor (or best guess) and arrival in the daemon.
    `rendition` is its place in the camera's ladder, 0 the full picture.
    """

    data: bytes
    keyframe: bool
    timestamp: int
    captured_ns: int
    received_ns: int
    rendition: int = 0


@dataclass(frozen=True, slots=True)
class LowerRendition:
    """The same picture, smaller, as a stream of its own. Sizes in pixels."""

    width: int
    height: int
    fps: float
    encoder: str
    profile_level_id: str


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
    lower: tuple[LowerRendition, ...] = ()  # what can be had on demand: renditions 1, 2, …, each smaller
    keyframes_on_request: bool = True  # False: they come when the camera makes them
    busy_encoder: str = ""  # a better one, which somebody else has to himself now


@dataclass(frozen=True, slots=True)
class CaptureReport:
    """Counters since the source was opened, sent about once a second."""

    frames_captured: int
    frames_dropped: int  # captured but never encoded: the encoder was slower than the camera
    units_encoded: int
    units_dropped: int  # encoded but not sent: the daemon was not reading
    encode_ms: float  # to encode a picture in all renditions that run; mean of the last second
    # frozen-picture, black-picture or no-signal while that is so; good, unknown before it can be told, empty if nobody looks
    picture: str = ""


@dataclass(frozen=True, slots=True)
class Control:
    """One of a camera's controls, by its driver's own name and type. Limits and values are as JSON has them, None where the
    driver says nothing; `choices`: words that may be given for numbers."""

    name: str
    kind: str
    minimum: object
    maximum: object
    step: object
    default: object
    value: object
    choices: Mapping[str, int]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """For people, in one line."""
        value = "" if self.value is None else f" = {json.dumps(self.value)}"
        choices = ", ".join(f"{number} {word}" for word, number in self.choices.items())
        limits = choices or f"{json.dumps(self.minimum)} to {json.dumps(self.maximum)}"
        return f"{self.name}{value}  ({self.kind}, {limits}; default {json.dumps(self.default)})"


@dataclass(frozen=True, slots=True)
class ControlsNow:
    """What a camera's controls are now, none where it has none; `refused`: of those just set the ones that were not, and why."""

    refused: Mapping[str, str]
    controls: tuple[Control, ...]


@dataclass(frozen=True, slots=True)
class EncoderDemand:
    """The one value that flows backwards: what the viewers of a rendition need from its encoder.

    A bitrate of 0 means that nobody needs it; any other starts it again, beginning with a keyframe. `every` holds for the
    whole camera: of so many captured pictures one is encoded, in all renditions. `ceiling_bps` is the most that the bitrate
    may come to as configured, which bounds what a keyframe may take; 0: as before.
    """

    bitrate_bps: int
    keyframe: bool = False
    rendition: int = 0
    every: int = 1
    ceiling_bps: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What the device or its link cannot afford now, whatever viewers could take; the same for every camera.

    `fps` pictures a second at most, None without a limit. `bitrate` is the share of every bitrate's ceiling that may be
    used. `best_rendition` is the best one that is given to anybody, 0 the full size; a camera that has none so small
    gives its smallest.
    """

    fps: float | None = None
    bitrate: float = 1.0
    best_rendition: int = 0

    def every(self, fps: float) -> int:
        """Of how many pictures of a camera with that frame rate one may be encoded: whole numbers, so that they stay evenly
        spaced."""
        return max(1, math.ceil(fps / self.fps - 0.05)) if self.fps else 1

    def with_those_of(self, other: Limits) -> Limits:
        """What both allow."""
        rates = [fps for fps in (self.fps, other.fps) if fps is not None]
        return Limits(
            min(rates, default=None), min(self.bitrate, other.bitrate), max(self.best_rendition, other.best_rendition)
        )


NO_LIMITS = Limits()


Begin = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class SoundPacket:
    """20 ms of sound, an Opus packet (RFC 6716). `timestamp` counts samples at 48 kHz, not wrapped, evenly but for gaps;
    `captured_ns` is when the first of them was heard, CLOCK_MONOTONIC."""

    data: bytes
    timestamp: int
    captured_ns: int


class UnitSink(Protocol):
    """Who receives what a source makes; every call is quick and never raises."""

    def opened(self, info: StreamInfo) -> None: ...
    def unit(self, unit: AccessUnit) -> None: ...
    def report(self, report: CaptureReport) -> None: ...


class VideoSource(Protocol):
    """A camera that is captured and encoded somewhere else, delivered as access units."""

    async def run(self, sink: UnitSink, begin: Begin | None = None) -> None:
        """Open, deliver until broken, release; raises RetryableError when broken, never returns otherwise. With `begin`, be ready
        at once, and open when it returns."""

    def apply(self, demand: EncoderDemand) -> None:
        """Pass a demand to the encoder; dropped silently while the source is not open."""

    @property
    def held_by(self) -> int | None:
        """A process that could not be ended because a driver holds it, and which may have the device open; None is the rule."""


@runtime_checkable
class ControllableSource(Protocol):
    """A VideoSource whose camera may have controls."""

    async def set_controls(self, values: Mapping[str, object]) -> ControlsNow:
        """Set those without opening it anew, none if `values` is empty; how all of them stand then. Raises RetryableError where
        that is not possible now (camera-closed, camera-stalled)."""
