"""V4L2 cameras (UVC, vivid, bcm2835-v4l2 …) through FFmpeg's demuxer."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator

import av

from edgecam.capture.frames import Captured, SourceInfo
from edgecam.capture.pacing import RateCap
from edgecam.capture.v4l2modes import Device, Mode, choose_mode, describe
from edgecam.errors import CaptureError

# A kernel timestamp older than this, or from the future, is of some other clock.
MAX_AGE_NS = 2_000_000_000
MAX_AHEAD_NS = 5_000_000
CORRUPT_SECONDS = 1.0  # of nothing but damaged pictures until the camera is given up


class V4l2Camera:
    """FrameSource of a device node. Sizes in pixels; the driver decides, `open` says what it decided."""

    def __init__(self, device: str, input_format: str, width: int, height: int, fps: float) -> None:
        self._device = device
        self._input_format = input_format
        self._wanted = (width, height, fps)
        self._container: av.container.InputContainer | None = None
        self._fps = fps

    def open(self) -> SourceInfo:
        card, mode = self._negotiate()
        with self._errors_named("open"):
            self._container = av.open(
                self._device,
                format="v4l2",
                options={
                    "input_format": mode.input_format,
                    "video_size": f"{mode.width}x{mode.height}",
                    "framerate": f"{mode.rate[0]}/{mode.rate[1]}",
                    "analyzeduration": "1",  # microseconds: the driver has said everything, do not wait for pictures
                    "timestamps": "default",  # the driver's, untouched: CLOCK_MONOTONIC on anything modern
                },
            )
        stream = self._container.streams.video[0]
        stream.codec_context.thread_count = 1  # frame threads would hold pictures back
        context = stream.codec_context
        self._fps = float(stream.average_rate or mode.fps)
        return SourceInfo(
            source=f"v4l2 {self._device} ({card})",
            pixel_format=mode.input_format,
            width=context.width & ~1,
            height=context.height & ~1,
            fps=min(self._fps, self._wanted[2]),
        )

    def frames(self) -> Iterator[Captured | None]:
        assert self._container is not None
        cap = RateCap(self._wanted[2])
        damaged = 0
        with self._errors_named("read"):
            for packet in self._container.demux(video=0):
                if not packet.size:
                    continue
                captured_ns = capture_time(packet.pts, time.monotonic_ns())
                if not cap.passes(captured_ns):
                    continue
                frame = _decode(packet)
                damaged = 0 if frame is not None else damaged + 1
                if damaged > CORRUPT_SECONDS * self._fps:
                    raise self._corrupt()
                yield Captured(frame, captured_ns) if frame is not None else None

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None

    def _negotiate(self) -> tuple[str, Mode]:
        """The camera's name, and the mode to ask FFmpeg for."""
        with self._errors_named("open"):
            fd = os.open(self._device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                device = describe(fd)
                mode = choose_mode(fd, device, self._input_format, *self._wanted)
            finally:
                os.close(fd)
        if mode is None:
            raise self._no_mode(device)
        return device.card, mode

    def _no_mode(self, device: Device) -> CaptureError:
        if not device.captures:
            what = "has a multi-planar driver" if device.multiplanar else "is not a camera"
            remedy = "run `edgecam probe` for those that can be used"
        else:
            offered = ", ".join(f"{offer.fourcc} ({offer.description})" for offer in device.formats) or "nothing"
            what = f"offers {offered}, not {self._input_format}"
            remedy = 'set input_format = "auto"' if self._input_format != "auto" else "use another camera or driver"
        return CaptureError(f"{self._device} ({device.card}) {what}", remedy=remedy, code="camera-format")

    def _corrupt(self) -> CaptureError:
        return CaptureError(
            f"{self._device} sends nothing but damaged pictures",
            remedy='try a shorter cable, another port or hub, or input_format = "yuyv"',
            code="camera-io",
        )

    @contextlib.contextmanager
    def _errors_named(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (OSError, av.FFmpegError) as error:
            raise device_error(self._device, doing, error) from error


def _decode(packet: av.Packet[av.VideoStream]) -> av.VideoFrame | None:
    """The picture of one packet, None when it is damaged."""
    try:
        frames = packet.decode()
    except av.error.InvalidDataError:
        return None
    return frames[0] if frames and not frames[0].is_corrupt else None


def capture_time(timestamp_us: int | None, now_ns: int) -> int:
    """CLOCK_MONOTONIC nanoseconds: the driver's timestamp where it is of that clock, else the time of arrival."""
    if timestamp_us is None:
        return now_ns
    age_ns = now_ns - timestamp_us * 1000
    return timestamp_us * 1000 if -MAX_AHEAD_NS <= age_ns <= MAX_AGE_NS else now_ns


def device_error(device: str, doing: str, error: OSError | av.FFmpegError) -> CaptureError:
    """What an errno of a device means for a person."""
    number = error.errno
    why = error.strerror or str(error)
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return CaptureError(f"{device} is not there ({why})", remedy="plug the camera in", code="camera-absent")
    if number == errno.EBUSY:
        remedy = f"end the program that uses it (fuser -v {device} names it)"
        return CaptureError(f"{device} is in use", remedy=remedy, code="camera-busy")
    if number in (errno.EACCES, errno.EPERM):
        remedy = "add the user that runs edgecam to the group video"
        return CaptureError(f"{device} may not be used ({why})", remedy=remedy, code="camera-denied")
    if number in (errno.EINVAL, errno.ENOTTY) and doing == "open":
        remedy = "set input_format, width, height and fps to a mode that `edgecam probe` lists"
        return CaptureError(f"{device} refuses this mode ({why})", remedy=remedy, code="camera-format")
    remedy = "check the cable, the power supply and the kernel log"
    return CaptureError(f"cannot {doing} {device} ({why})", remedy=remedy, code="camera-io")
