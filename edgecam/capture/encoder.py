"""H.264 encoders: which one really works here, and how each is driven."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import av
from av.codec.codec import UnknownCodecError
from av.video.frame import PictureType
from av.video.reformatter import Interpolation, VideoReformatter

from edgecam.capture import v4l2control
from edgecam.capture.candidates import CANDIDATES, SOFTWARE, V4L2_M2M, EncoderSpec
from edgecam.errors import CaptureError
from edgecam.media import h264
from edgecam.media.types import RTP_CLOCK

LOWER_ENCODER = SOFTWARE
SCALING = Interpolation.BILINEAR  # as good as averaging at half the size, and faster than anything else
TICK = Fraction(1, RTP_CLOCK)
MAX_HEADERS = 256  # bytes; a unit that small may be nothing but SPS and PPS
PROBE_FRAMES = 16  # hardware encoders fill a pipeline before the first picture comes out
BUSY = {errno.EBUSY, errno.ENOMEM, errno.EAGAIN}  # what may be otherwise once another program has ended


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
        self.spec = spec
        self._pixel_format = CANDIDATES[name].pixel_format
        self._reformatter = VideoReformatter()
        self._captured: dict[int, int] = {}  # pts of pictures inside the encoder: captured_ns
        self._parameter_sets = b""
        self._origin: int | None = None
        self._last_pts = -1
        self._keyframe_due_ns = 0  # encoders count pictures, not seconds: a dark camera gives fewer, and some may be left out
        before = v4l2control.open_video_fds()
        self._context = _open_context(name, spec)
        self._control_fds = v4l2control.open_video_fds() - before if name == V4L2_M2M else frozenset[int]()
        for fd in self._control_fds:
            # FFmpeg asks for headers by themselves, and takes one buffer a picture: each picture would come out one late.
            v4l2control.set_control(fd, v4l2control.MPEG_VIDEO_HEADER_MODE, v4l2control.HEADER_MODE_JOINED_WITH_1ST_FRAME)
            v4l2control.set_control(fd, v4l2control.MPEG_VIDEO_REPEAT_SEQ_HEADER, 1)

    def encode(self, frame: av.VideoFrame, captured_ns: int, keyframe: bool) -> list[Encoded]:
        """Encode a picture of any size and format; usually one unit comes out, hardware may lag some pictures behind."""
        keyframe = keyframe or self._origin is None  # a stream begins with one, also after the probe's pictures
        keyframe = keyframe or captured_ns >= self._keyframe_due_ns
        if keyframe:
            self._note_keyframe(captured_ns)
        picture = self.fit(frame)
        picture.pts = self._next_pts(captured_ns)
        picture.time_base = TICK
        picture.pict_type = PictureType.I if keyframe else PictureType.NONE
        self._captured[picture.pts] = captured_ns
        if len(self._captured) > PROBE_FRAMES:  # FFmpeg takes an error of some drivers for the end of the stream
            raise CaptureError(f"{self.name} takes pictures and gives none back", code="encoder-failed")
        units = [self._unit(packet) for packet in self._context.encode(picture)]
        return [unit for unit in units if unit is not None]

    def fit(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The picture as this encoder takes it, the very same when it is that already: a smaller one's best source."""
        return self._reformatter.reformat(
            frame, width=self.spec.width, height=self.spec.height, format=self._pixel_format, interpolation=SCALING
        )

    def set_bitrate(self, bitrate_bps: int, every: int = 1, ceiling_bps: int = 0) -> None:
        """Follow a new bitrate from the next picture on, without a keyframe. `every`: only one picture of so many comes. Rate
        control knows the frame rate at which the encoder was opened and no other (x264 would have to hold each picture until
        the next one to know more), so it is told what the bitrate would be if all came, within the ceiling: a picture costs
        no more than before. Another `ceiling_bps` begins with a keyframe; 0: as before."""
        if ceiling_bps and ceiling_bps != self.spec.bitrate_bps:
            self._set_ceiling(ceiling_bps)
        told_bps = min(bitrate_bps * every, max(bitrate_bps, self.spec.bitrate_bps))
        self._context.bit_rate = told_bps
        for fd in self._control_fds:
            v4l2control.set_control(fd, v4l2control.MPEG_VIDEO_BITRATE, told_bps)

    def _set_ceiling(self, ceiling_bps: int) -> None:
        """Only another context of libx264 has another buffer; it takes over between two pictures, and none is inside the old one.
        It keeps the level: viewers were promised that one, and decoders care for its sizes, not for its bitrates. Hardware is
        told its bitrate alone."""
        spec = replace(self.spec, bitrate_bps=ceiling_bps)
        if self.name == SOFTWARE:
            level = int(self.profile_level_id()[4:], 16)
            self._context = _open_context(self.name, spec, level)
        self.spec = spec

    def profile_level_id(self) -> str:
        """Of the SPS seen so far; RFC 6184 section 8.1."""
        sps = h264.find_nal(self._parameter_sets, h264.SPS)
        if sps is None:
            raise CaptureError(f"{self.name} made no SPS", code="encoder-failed")
        return h264.profile_level_id(sps)

    def _note_keyframe(self, captured_ns: int) -> None:
        self._keyframe_due_ns = captured_ns + round(self.spec.keyframe_interval * 1e9) - self.interval_ns // 2

    def _next_pts(self, captured_ns: int) -> int:
        """90 kHz ticks from the first picture, strictly increasing, whatever the camera's clock does."""
        ticks = captured_ns * RTP_CLOCK // 1_000_000_000
        if self._origin is None:
            self._origin = ticks - self._last_pts - round(RTP_CLOCK / self.spec.fps)
        self._last_pts = max(self._last_pts + 1, ticks - self._origin)
        return self._last_pts

    def probe(self) -> None:
        """Really encode blank pictures until one comes out; sets `immediate` when the first came out at once.

        Raises CaptureError when none does, or when it is not what every browser decodes.
        """
        blank = _blank(self.spec)
        self._require_lines(self.fit(blank))
        for number in range(PROBE_FRAMES):
            units = self.encode(blank, number * int(1e9 / self.spec.fps), keyframe=number == 0)
            if units:
                self.profile_level_id()
                if h264.count_slices(units[0].data) != 1 or not h264.is_keyframe(units[0].data):
                    raise CaptureError(f"{self.name} does not begin with one IDR slice", code="encoder-failed")
                self._origin = None
                self.immediate = number == 0
                return
        raise CaptureError(f"{self.name} takes pictures and gives none back", code="encoder-failed")

    def _require_lines(self, picture: av.VideoFrame) -> None:
        """FFmpeg copies pictures into a V4L2 encoder's buffers as they are, however long the driver wants lines to be."""
        given = picture.planes[0].line_size
        for wanted in {v4l2control.line_bytes(fd) for fd in self._control_fds} - {0, given}:
            raise CaptureError(f"{self.name} wants lines of {wanted} bytes, and FFmpeg gives it {given}", code="encoder-failed")

    def _unit(self, packet: av.Packet[av.VideoStream]) -> Encoded | None:
        data = bytes(packet)
        sets = b""
        if packet.is_keyframe or len(data) < MAX_HEADERS:
            sets = h264.parameter_sets(data)
            self._parameter_sets = sets or self._parameter_sets
            if h264.count_slices(data) == 0:  # some drivers send the headers on their own, ahead of the picture
                return None
        captured_ns = self._captured_ns(packet.pts)
        if packet.is_keyframe:
            self._note_keyframe(captured_ns)
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


def _open_context(name: str, spec: EncoderSpec, level: int = 0) -> av.VideoCodecContext:
    """`level`: level_idc of ITU-T H.264 A.3 that libx264 is to keep to, 0 for the lowest that suits."""
    context = _context_of(name)
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height = spec.width, spec.height
    context.pix_fmt = CANDIDATES[name].pixel_format
    context.time_base = TICK
    context.framerate = Fraction(spec.fps).limit_denominator(1001)
    context.bit_rate = spec.bitrate_bps
    context.gop_size = spec.group
    context.max_b_frames = 0
    if name == SOFTWARE:
        # One slice a picture needs one thread: sliced threads cut it up, frame threads hold a picture back.
        context.thread_count = 1
    options = CANDIDATES[name].options(spec)
    if level:
        options["x264-params"] += f":level={level}"
    context.options = options
    context.open()
    return context


def _context_of(name: str) -> av.CodecContext:
    kind = CANDIDATES[name].memory
    if not kind:
        return av.CodecContext.create(name, "w")
    try:  # PyAV puts pictures there since 17
        from av.codec.hwaccel import HWAccel

        return av.CodecContext.create(name, "w", HWAccel(kind))
    except (ImportError, TypeError, ValueError, NotImplementedError) as error:
        why = f"{name} takes pictures in {kind}'s memory only, and this PyAV puts none there"
        raise CaptureError(why, code="encoder-failed") from error


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
    """An encoder ready for pictures; `reason` is a line for people, `profile_level_id` from its real SPS. `busy` is a better
    one that somebody else has to himself now, empty when there is none."""

    encoder: H264Encoder
    reason: str
    profile_level_id: str
    busy: str = ""


def choose(spec: EncoderSpec, wanted: str, skip: Mapping[str, str], trying: Callable[[str], object]) -> Choice:
    """The first encoder that really encodes.

    `wanted` is `auto` or a name; `skip` maps names to why they are left out; `trying(name)` is called before each
    attempt, because a driver may never return from it. Raises CaptureError (encoder-failed).
    """
    reasons, busy = [], ""
    for name in CANDIDATES if wanted == "auto" else (wanted,):
        if name in skip:
            reasons.append(f"{name}: left out ({skip[name]})")
            continue
        if wanted == "auto" and not _built_in(name):
            continue
        trying(name)
        try:
            encoder, profile = _open_probed(name, spec)
        except (av.FFmpegError, UnknownCodecError, CaptureError) as error:
            in_use = _in_use(name, error)
            busy = busy or name if in_use else busy
            reasons.append(f"{name}: {in_use or _why(error)}")
        else:
            reasons.append(f"{name} encodes")
            return Choice(encoder, "; ".join(reasons), profile, busy)
    raise CaptureError(
        "; ".join(reasons),
        remedy='set encoder = "libx264" or install FFmpeg with libx264',
        code="encoder-failed",
    )


def _built_in(name: str) -> bool:
    try:
        av.Codec(name, "w")
    except UnknownCodecError:
        return False
    return True


def _in_use(name: str, error: av.FFmpegError | UnknownCodecError | CaptureError) -> str:
    """What to say of an encoder that may work later; empty of one that does not."""
    if not isinstance(error, av.FFmpegError):
        return ""
    # FFmpeg looks at every video node, and says what it heard of the last one.
    nodes = v4l2control.busy_nodes() if name == V4L2_M2M else []
    if nodes:
        return f"{', '.join(nodes)} is in use"
    return f"in use ({error.strerror})" if error.errno in BUSY else ""


def open_lower(specs: Sequence[EncoderSpec]) -> list[H264Encoder]:
    """Encoders of smaller renditions, tried, best first, up to the first that does not work.

    In software, whatever encodes the full size: a second context of a hardware encoder takes its memory and its time,
    or hangs; and this is a quarter of the pixels and less.
    """
    encoders = []
    for spec in specs:
        try:
            encoder, _profile = _open_probed(LOWER_ENCODER, spec)
        except (av.FFmpegError, UnknownCodecError, CaptureError):
            break
        encoders.append(encoder)
    return encoders


def _why(error: av.FFmpegError | UnknownCodecError | CaptureError) -> str:
    if isinstance(error, CaptureError):
        return error.message
    if isinstance(error, UnknownCodecError):
        return "not built into this FFmpeg"
    return f"cannot open ({error.strerror})"
