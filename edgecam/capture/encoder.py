"""H.264 encoders: which one really works here, and how each is driven."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import av
from av.codec.codec import UnknownCodecError
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter

from edgecam.capture import v4l2control
from edgecam.errors import CaptureError
from edgecam.media import h264
from edgecam.media.types import RTP_CLOCK

CANDIDATES = ("h264_v4l2m2m", "libx264")  # hardware before software
VBV_SECONDS = 0.3  # bounds a keyframe to about what the link carries in that time
TICK = Fraction(1, RTP_CLOCK)
MAX_HEADERS = 256  # bytes; a unit that small may be nothing but SPS and PPS
PROBE_FRAMES = 16  # hardware encoders fill a pipeline before the first picture comes out


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """What is to be encoded: pixels, frames per second, bit/s, seconds between unasked keyframes."""

    width: int
    height: int
    fps: float
    bitrate_bps: int
    keyframe_interval: float


@dataclass(frozen=True, slots=True)
class Encoded:
    """One access unit as it left the encoder, and when its picture was captured (CLOCK_MONOTONIC nanoseconds)."""

    data: bytes
    keyframe: bool
    captured_ns: int


class H264Encoder:
    """One open encoder. Pictures in, access units out, each complete: SPS and PPS before every IDR slice.

    Raises av.FFmpegError where FFmpeg does. Not thread-safe.
    """

    def __init__(self, name: str, spec: EncoderSpec) -> None:
        self.name = name
        self.immediate = False  # known to give each unit back at once, once probed
        self.interval_ns = round(1e9 / spec.fps)
        self._spec = spec
        self._reformatter = VideoReformatter()
        self._captured: dict[int, int] = {}  # pts of pictures inside the encoder: captured_ns
        self._parameter_sets = b""
        self._origin: int | None = None
        self._last_pts = -1
        before = v4l2control.open_video_fds()
        self._context = _open_context(name, spec)
        self._control_fds = v4l2control.open_video_fds() - before if name == "h264_v4l2m2m" else frozenset[int]()

    def encode(self, frame: av.VideoFrame, captured_ns: int, keyframe: bool) -> list[Encoded]:
        """Encode a picture of any size and format; usually one unit comes out, hardware may lag some pictures behind."""
        spec = self._spec
        keyframe = keyframe or self._origin is None  # a stream begins with one, also after the probe's pictures
        picture = self._reformatter.reformat(frame, width=spec.width, height=spec.height, format="yuv420p")
        picture.pts = self._next_pts(captured_ns)
        picture.time_base = TICK
        picture.pict_type = PictureType.I if keyframe else PictureType.NONE
        self._captured[picture.pts] = captured_ns
        units = [self._unit(packet) for packet in self._context.encode(picture)]
        return [unit for unit in units if unit is not None]

    def set_bitrate(self, bitrate_bps: int) -> None:
        """Follow a new bitrate from the next picture on, without a keyframe and without reopening."""
        self._context.bit_rate = bitrate_bps
        for fd in self._control_fds:
            v4l2control.set_bitrate(fd, bitrate_bps)

    def profile_level_id(self) -> str:
        """Of the SPS seen so far; RFC 6184 section 8.1."""
        sps = h264.find_nal(self._parameter_sets, h264.SPS)
        if sps is None:
            raise CaptureError(f"{self.name} made no SPS", code="encoder-failed")
        return h264.profile_level_id(sps)

    def _next_pts(self, captured_ns: int) -> int:
        """90 kHz ticks from the first picture, strictly increasing, whatever the camera's clock does."""
        ticks = captured_ns * RTP_CLOCK // 1_000_000_000
        if self._origin is None:
            self._origin = ticks - self._last_pts - round(RTP_CLOCK / self._spec.fps)
        self._last_pts = max(self._last_pts + 1, ticks - self._origin)
        return self._last_pts

    def probe(self) -> None:
        """Really encode blank pictures until one comes out; sets `immediate` when the first came out at once.

        Raises CaptureError when none does, or when it is not what every browser decodes.
        """
        blank = _blank(self._spec)
        for number in range(PROBE_FRAMES):
            units = self.encode(blank, number * int(1e9 / self._spec.fps), keyframe=number == 0)
            if units:
                self.profile_level_id()
                if h264.count_slices(units[0].data) != 1 or not h264.is_keyframe(units[0].data):
                    raise CaptureError(f"{self.name} does not begin with one IDR slice", code="encoder-failed")
                self._origin = None
                self.immediate = number == 0
                return
        raise CaptureError(f"{self.name} takes pictures and gives none back", code="encoder-failed")

    def _unit(self, packet: av.Packet[av.VideoStream]) -> Encoded | None:
        data = bytes(packet)
        captured_ns = self._captured_ns(packet.pts)
        sets = b""
        if packet.is_keyframe or len(data) < MAX_HEADERS:
            sets = h264.parameter_sets(data)
            self._parameter_sets = sets or self._parameter_sets
            if h264.count_slices(data) == 0:  # some drivers send the headers on their own, ahead of the picture
                return None
        if packet.is_keyframe and not sets:
            extradata = self._context.extradata or b""
            self._parameter_sets = self._parameter_sets or h264.parameter_sets(extradata)
            data = self._parameter_sets + data
        return Encoded(data, packet.is_keyframe, captured_ns)

    def _captured_ns(self, pts: int | None) -> int:
        """When the picture of that unit was captured; pictures that the encoder has swallowed are forgotten."""
        newest_ns = max(self._captured.values(), default=0)
        if pts is None:
            return newest_ns
        captured_ns = self._captured.pop(pts, newest_ns)
        for earlier in [other for other in self._captured if other < pts]:
            del self._captured[earlier]
        return captured_ns


def _open_context(name: str, spec: EncoderSpec) -> av.VideoCodecContext:
    context = av.CodecContext.create(name, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height = spec.width, spec.height
    context.pix_fmt = "yuv420p"
    context.time_base = TICK
    context.framerate = Fraction(spec.fps).limit_denominator(1001)
    context.bit_rate = spec.bitrate_bps
    keyint = max(1, round(spec.keyframe_interval * spec.fps))
    context.gop_size = keyint
    if name == "libx264":
        # One slice a picture needs one thread: sliced threads cut it up, frame threads hold a picture back.
        context.thread_count = 1
        context.options = {
            "preset": "ultrafast",  # constrained baseline by itself; asking for the profile is an error on PyAV 14.2
            "tune": "zerolatency",
            "maxrate": str(spec.bitrate_bps),
            "bufsize": str(round(spec.bitrate_bps * VBV_SECONDS)),
            "forced-idr": "1",
            "x264-params": f"sliced-threads=0:slices=1:repeat-headers=1:keyint={keyint}:scenecut=0",
        }
    context.open()
    return context


def _blank(spec: EncoderSpec) -> av.VideoFrame:
    frame = av.VideoFrame(spec.width, spec.height, "yuv420p")
    for plane in frame.planes:
        plane.update(bytes([128]) * plane.buffer_size)
    return frame


def _open_probed(name: str, spec: EncoderSpec) -> tuple[H264Encoder, str]:
    encoder = H264Encoder(name, spec)
    encoder.probe()
    profile = encoder.profile_level_id()
    if encoder.immediate:
        return encoder, profile
    del encoder  # closed: its late pictures must not come out among the real ones
    return H264Encoder(name, spec), profile


@dataclass(frozen=True, slots=True)
class Choice:
    """An encoder ready for pictures; `reason` is a line for people, `profile_level_id` from its real SPS."""

    encoder: H264Encoder
    reason: str
    profile_level_id: str


def choose(spec: EncoderSpec, wanted: str, skip: Mapping[str, str], trying: Callable[[str], object]) -> Choice:
    """The first encoder that really encodes.

    `wanted` is `auto` or a name; `skip` maps names to why they are left out; `trying(name)` is called before each
    attempt, because a driver may never return from it. Raises CaptureError (encoder-failed).
    """
    reasons = []
    for name in CANDIDATES if wanted == "auto" else (wanted,):
        if name in skip:
            reasons.append(f"{name}: left out ({skip[name]})")
            continue
        trying(name)
        try:
            encoder, profile = _open_probed(name, spec)
        except (av.FFmpegError, UnknownCodecError, CaptureError) as error:
            reasons.append(f"{name}: {_why(error)}")
        else:
            reasons.append(f"{name} encodes")
            return Choice(encoder, "; ".join(reasons), profile)
    raise CaptureError(
        "; ".join(reasons),
        remedy='set encoder = "libx264" or install FFmpeg with libx264',
        code="encoder-failed",
    )


def _why(error: av.FFmpegError | UnknownCodecError | CaptureError) -> str:
    if isinstance(error, CaptureError):
        return error.message
    if isinstance(error, UnknownCodecError):
        return "not built into this FFmpeg"
    return f"cannot open ({error.strerror})"
