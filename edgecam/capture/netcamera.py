"""Network cameras: RTSP (RFC 7826, RFC 2326) and MJPEG over HTTP, through FFmpeg's demuxers."""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

import av

from edgecam.capture.arrivals import ArrivalClock
from edgecam.capture.frames import Captured, SourceInfo
from edgecam.capture.pacing import RateCap
from edgecam.capture.passthrough import Passed
from edgecam.capture.videofile import fit
from edgecam.errors import CaptureError

# FFmpeg's own limits; the daemon's deadlines end a process that keeps to none of them.
IO_TIMEOUT_US = 8_000_000
# How long packets may wait for one that UDP has put behind them.
REORDER_US = 100_000
# So much of the stream is looked at before it is shown, for what its description did not say.
ANALYZE_US = 500_000
PROTOCOLS = "rtsp,rtsps,rtp,udp,tcp,tls,http,https,httpproxy,crypto"
DAMAGED_SECONDS = 3.0  # of nothing but damaged pictures until the camera is given up


@dataclass(frozen=True, slots=True)
class Address:
    """Where a camera is, and who we are there. `transport` is auto, tcp or udp; auto tries UDP and then TCP."""

    url: str
    username: str
    password: str
    transport: str

    @property
    def whole(self) -> str:
        """With the credentials in it: what FFmpeg takes. RFC 3986 section 3.2.1."""
        if not self.username:
            return self.url
        parts = urlsplit(self.url)
        user = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}"
        return urlunsplit(parts._replace(netloc=f"{user}@{parts.netloc.rpartition('@')[2]}"))

    @property
    def shown(self) -> str:
        """Without credentials, and without a query, which may hold some."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


class NetCamera:
    """FrameSource of any stream that FFmpeg decodes, and UnitSource of one whose `passes_through` is true after `open`.

    `width`, `height` and `fps` limit what is decoded here; what is passed through is as the camera makes it.
    """

    def __init__(self, kind: str, address: Address, width: int, height: int, fps: float) -> None:
        self.passes_through = False
        self.extradata = b""
        self.keyframes_on_request = False
        self._kind = kind
        self._address = address
        self._limits = (width, height)
        self._max_fps = fps
        self._container: av.container.InputContainer | None = None
        self._fps = fps

    def open(self) -> SourceInfo:
        with self._errors_named("open"):
            self._container = av.open(self._address.whole, format=_FORMATS[self._kind], options=self._options())
        if not self._container.streams.video:
            raise CaptureError(f"{self._address.shown} has no video", remedy="choose another stream of the camera", code="camera-format")
        stream = self._container.streams.video[0]
        context = stream.codec_context
        context.thread_count = 1  # frame threads would hold pictures back
        self.extradata = bytes(context.extradata or b"")
        self.passes_through = context.name == "h264" and not context.has_b_frames
        rate = stream.average_rate or stream.guessed_rate
        self._fps = float(rate) if rate and 0 < rate <= 240 else self._max_fps
        if not context.width or not context.height:
            raise CaptureError(
                f"{self._address.shown} does not say how large its picture is",
                remedy="choose another stream of the camera, or another codec there",
                code="camera-format",
            )
        width, height = context.width & ~1, context.height & ~1
        source = f"{self._kind} {self._address.shown}"
        if self.passes_through:
            return SourceInfo(source, "h264", width, height, self._fps)
        return SourceInfo(source, context.name, *fit(width, height, *self._limits), min(self._fps, self._max_fps))

    def frames(self) -> Iterator[Captured | None]:
        cap = RateCap(self._max_fps)
        damaged = 0
        for packet, _media_ns, captured_ns in self._packets():
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                frames = []
            if not frames:
                damaged += 1
                if damaged > DAMAGED_SECONDS * self._fps:
                    raise self._failed("nothing in the stream can be decoded", "restart the camera, or set transport = \"tcp\"")
                continue
            damaged = 0
            for frame in frames:
                if cap.passes(captured_ns):
                    yield Captured(frame, captured_ns) if not frame.is_corrupt else None

    def units(self) -> Iterator[Passed]:
        for packet, media_ns, captured_ns in self._packets():
            yield Passed(bytes(packet), media_ns, captured_ns)

    def request_keyframe(self) -> None:
        """RTSP has no word for it."""

    def set_bitrate(self, bitrate_bps: int) -> None:
        """RTSP has no word for it."""

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None

    def _packets(self) -> Iterator[tuple[av.Packet[av.VideoStream], int | None, int]]:
        """Packets with their media time and the estimated time of capture, in nanoseconds."""
        assert self._container is not None
        clock = ArrivalClock()
        stream = self._container.streams.video[0]
        with self._errors_named("read"):
            for packet in self._container.demux(stream):
                if not packet.size:
                    continue
                arrived_ns = time.monotonic_ns()
                media_ns = None
                if packet.pts is not None and packet.time_base is not None:
                    media_ns = round(packet.pts * packet.time_base * 1_000_000_000)
                yield packet, media_ns, clock.captured_ns(media_ns if self._kind == "rtsp" else None, arrived_ns)
        raise self._failed("it ended the stream", "it is connected to again")

    def _options(self) -> dict[str, str]:
        options = {"analyzeduration": str(ANALYZE_US), "fflags": "nobuffer", "max_delay": str(REORDER_US)}
        options["protocol_whitelist"] = PROTOCOLS  # a camera sends us nowhere else, to a file of ours for one
        if self._kind == "rtsp":
            options["timeout"] = str(IO_TIMEOUT_US)
            if self._address.transport != "auto":
                options["rtsp_transport"] = self._address.transport
        else:
            options |= {"rw_timeout": str(IO_TIMEOUT_US), "timeout": str(IO_TIMEOUT_US), "strict_mime_boundary": "0"}
        return options

    @contextlib.contextmanager
    def _errors_named(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (OSError, av.FFmpegError) as error:
            raise self._named(doing, error) from None  # FFmpeg says the address whole, credentials and all

    def _named(self, doing: str, error: OSError | av.FFmpegError) -> CaptureError:
        shown = self._address.shown
        if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
            return CaptureError(f"{shown} refuses us", remedy="check username and password", code="camera-denied")
        if isinstance(error, av.error.HTTPNotFoundError):
            remedy = "check the path of url; the camera's manual names it"
            return CaptureError(f"{shown} has no such stream", remedy=remedy, code="camera-format")
        if error.errno in _UNREACHABLE:
            remedy = "check address, power and network of the camera"
            return CaptureError(f"{shown} cannot be reached ({error.strerror})", remedy=remedy, code="camera-absent")
        return self._failed(f"{doing} failed: {error.strerror}", "check that the camera works, with `ffplay` for example")

    def _failed(self, why: str, remedy: str) -> CaptureError:
        return CaptureError(f"{self._address.shown}: {why}", remedy=remedy, code="camera-io")


_FORMATS = {"rtsp": "rtsp", "mjpeg": "mpjpeg"}
_UNREACHABLE = {
    errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT, errno.ECONNRESET, errno.EPIPE, errno.EAGAIN,
    -5, errno.EIO,
}  # fmt: skip
