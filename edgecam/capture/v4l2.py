"""V4L2 cameras (UVC, vivid, bcm2835-v4l2 …)."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgecam.capture import v4l2control
from edgecam.capture.cameracontrols import Controls
from edgecam.capture.capturetime import v4l2_time
from edgecam.capture.frames import Captured, SourceInfo
from edgecam.capture.pacing import RateCap
from edgecam.capture.passthrough import Passed
from edgecam.capture.v4l2modes import Device, Mode, choose_mode, describe
from edgecam.capture.v4l2pictures import Decoder
from edgecam.capture.v4l2stream import V4l2Stream
from edgecam.errors import CaptureError
from edgecam.media.types import ControlsNow

CORRUPT_SECONDS = 1.0  # of nothing but damaged pictures until the camera is given up


class V4l2Camera:
    """FrameSource of a device node, and UnitSource of one that encodes H.264 itself; Controllable. Sizes in pixels; the driver
    decides, `open` says what it decided."""

    def __init__(self, device: str, input_format: str, width: int, height: int, fps: float) -> None:
        self._device = device
        self._input_format = input_format
        self._wanted = (width, height, fps)
        self._fps = fps
        self.passes_through = False
        self.extradata = b""  # what it has to say is in the stream
        self.keyframes_on_request = False
        self._fd: int | None = None
        self._stream: V4l2Stream | None = None
        self._decoder: Decoder | None = None
        self._controls: Controls | None = None

    def open(self) -> SourceInfo:
        with self._errors_named("open"):
            self._fd = os.open(self._device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            device, mode = self._negotiate(self._fd)
            self._stream = V4l2Stream(self._fd)
            given = self._stream.start(mode)
        self._decoder = Decoder(mode.input_format, given.width, given.height, given.line_bytes)
        self._controls = Controls(self._fd)
        self._fps = float(given.rate or mode.fps)
        if mode.input_format == "h264":
            self.passes_through = True
            self.keyframes_on_request = v4l2control.offers(self._fd, v4l2control.MPEG_VIDEO_FORCE_KEY_FRAME)
        return SourceInfo(
            source=f"v4l2 {self._device} ({device.card})",
            pixel_format=mode.input_format,
            width=given.width & ~1,
            height=given.height & ~1,
            fps=self._fps if self.passes_through else min(self._fps, self._wanted[2]),
        )

    def frames(self) -> Iterator[Captured | None]:
        assert self._stream is not None
        assert self._decoder is not None
        cap = RateCap(self._wanted[2])
        damaged = 0
        with self._errors_named("read"):
            for filled in self._stream.filled():
                captured_ns = v4l2_time(filled.timestamp_us, time.monotonic_ns())
                shown = cap.passes(captured_ns)
                if not shown and self._decoder.each_alone:
                    continue
                frame = None if filled.damaged else self._decoder.picture(filled.data)
                damaged = 0 if frame is not None else damaged + 1
                if damaged > CORRUPT_SECONDS * self._fps:
                    raise self._corrupt()
                if shown:
                    yield Captured(frame, captured_ns) if frame is not None else None

    def units(self) -> Iterator[Passed]:
        assert self._stream is not None
        with self._errors_named("read"):
            for filled in self._stream.filled():
                if filled.data and not filled.damaged:
                    yield Passed(bytes(filled.data), None, v4l2_time(filled.timestamp_us, time.monotonic_ns()))

    def request_keyframe(self) -> None:
        """Does nothing where the driver has no such control: `keyframes_on_request` says which it is."""
        if self._fd is not None and self.keyframes_on_request:
            v4l2control.set_control(self._fd, v4l2control.MPEG_VIDEO_FORCE_KEY_FRAME, 1)

    def set_bitrate(self, bitrate_bps: int) -> None:
        if self._fd is not None:
            v4l2control.set_control(self._fd, v4l2control.MPEG_VIDEO_BITRATE, bitrate_bps)

    def set_controls(self, values: Mapping[str, Any]) -> ControlsNow:
        assert self._controls is not None
        return ControlsNow(self._controls.set(values), tuple(self._controls.now()))

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        if self._fd is not None:
            os.close(self._fd)
            self._fd = self._controls = None

    def _negotiate(self, fd: int) -> tuple[Device, Mode]:
        device = describe(fd)
        mode = choose_mode(fd, device, self._input_format, *self._wanted)
        if mode is None:
            raise self._no_mode(device)
        return device, mode

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
        except OSError as error:
            raise device_error(self._device, doing, error) from error


def device_error(device: str, doing: str, error: OSError) -> CaptureError:
    """What an errno of a device means for a person."""
    number = error.errno
    why = error.strerror or str(error)
    # A driver whose device is pulled out ends its stream first, with whatever errno that gives.
    pulled_out = doing == "read" and not Path(device).exists()
    if pulled_out or number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
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
