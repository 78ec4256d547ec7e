"""The H.264 encoder of boards with a VideoCore 4 (Raspberry Pi 4 and older), through picamera2: it reads the camera's buffer itself.

picamera2's other H264Encoder, which it takes elsewhere, encodes in software and ends the camera's thread when a keyframe is
asked for (PyAV 14 and newer): there our own encoder has the camera's pictures.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
from collections.abc import Callable
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any

import av

from edgecam.capture.candidates import EncoderSpec
from edgecam.capture.encoder import Encoded, H264Encoder
from edgecam.errors import CaptureError
from edgecam.media import h264

NAME = "picamera2"
STREAM = "main"
FIRST_WITHIN = 1.0  # seconds
LONG = 3600.0  # seconds between keyframes of the hardware's own: ours come by the clock


class PicameraEncoder(H264Encoder):
    """An encoder whose pictures have to be those of the camera's main stream; scaling is left to the other renditions.

    `request_of` gives the completed request that a picture belongs to. Making one opens /dev/video11: raises OSError.
    """

    def __init__(self, camera: Any, request_of: Callable[[av.VideoFrame], Any], spec: EncoderSpec) -> None:
        self.name = NAME
        self.immediate = True
        self.interval_ns = round(1e9 / spec.fps)
        self.spec = spec
        self._request_of = request_of
        self._units: SimpleQueue[tuple[bytes, bool, int]] = SimpleQueue()
        self._captured_at: dict[int, int] = {}  # sensor's microseconds: captured_ns
        self._parameter_sets = b""
        self._keyframe_due_ns = 0
        self._begun = False
        self._v4l2: Any = importlib.import_module("videodev2")  # picamera2 needs it too
        self._timestamp: Any = importlib.import_module("libcamera").controls.SensorTimestamp
        self._encoder = self._opened(camera.camera_configuration()[STREAM])

    def _opened(self, stream: dict[str, Any]) -> Any:
        module = importlib.import_module("picamera2.encoders.h264_encoder")
        iperiod = round(LONG * self.spec.fps)
        encoder = module.H264Encoder(
            bitrate=self.spec.bitrate_bps, repeat=True, iperiod=iperiod, framerate=self.spec.fps, profile="constrained baseline"
        )
        encoder.width, encoder.height = stream["size"]
        encoder.format, encoder.stride, encoder.name = stream["format"], stream["stride"], STREAM
        encoder.output = _output(self._units.put)
        try:
            encoder.start()
        except OSError:
            with contextlib.suppress(OSError, AttributeError):  # it had begun with half of it
                encoder.stop()
            raise
        return encoder

    def probe_with(self, frame: av.VideoFrame, captured_ns: int) -> None:
        """Really encode a picture of the camera. Raises CaptureError when nothing comes out, or not what browsers decode."""
        units = self._encode(frame, captured_ns, keyframe=True, within=FIRST_WITHIN)
        if not units:
            raise CaptureError(f"{NAME} takes pictures and gives none back", code="encoder-failed")
        if h264.count_slices(units[0].data) != 1 or not h264.is_keyframe(units[0].data):
            raise CaptureError(f"{NAME} does not begin with one IDR slice", code="encoder-failed")

    def encode(self, frame: av.VideoFrame, captured_ns: int, keyframe: bool) -> list[Encoded]:
        keyframe = keyframe or not self._begun or captured_ns >= self._keyframe_due_ns
        self._begun = True
        return self._encode(frame, captured_ns, keyframe, self.interval_ns / 1e9)

    def _encode(self, frame: av.VideoFrame, captured_ns: int, keyframe: bool, within: float) -> list[Encoded]:
        request = self._request_of(frame)
        if keyframe:
            self._note_keyframe(captured_ns)
            self._encoder.force_key_frame()
        self._captured_at[self._encoder_time(request)] = captured_ns
        try:
            self._encoder.encode(STREAM, request)
        except OSError as error:
            raise CaptureError(
                f"{NAME} failed ({error.strerror})", remedy='set encoder = "libx264" if this repeats', code="encoder-failed"
            ) from error
        return self._finished(within)

    def _encoder_time(self, request: Any) -> int:
        return int(request.request.metadata[self._timestamp] / 1000)  # as picamera2's encoder counts

    def _finished(self, within: float) -> list[Encoded]:
        """What has come out; waits for the first: it is usually the picture just given."""
        units = []
        with contextlib.suppress(Empty):
            units.append(self._completed(*self._units.get(timeout=within)))
            while True:
                units.append(self._completed(*self._units.get_nowait()))
        return units

    def _completed(self, data: bytes, keyframe: bool, since_first_us: int) -> Encoded:
        time_us = self._encoder.firsttimestamp + since_first_us
        captured_ns = self._captured_at.pop(time_us, None) or max(self._captured_at.values(), default=time_us * 1000)
        for earlier in [other for other in self._captured_at if other < time_us]:
            del self._captured_at[earlier]
        if keyframe:
            self._note_keyframe(captured_ns)
            sets = h264.parameter_sets(data)
            self._parameter_sets = sets or self._parameter_sets
            data = data if sets else self._parameter_sets + data
        return Encoded(data, keyframe, captured_ns)

    def fit(self, frame: av.VideoFrame) -> av.VideoFrame:
        return frame

    def set_bitrate(self, bitrate_bps: int, every: int = 1, ceiling_bps: int = 0) -> None:
        if ceiling_bps:
            self.spec = replace(self.spec, bitrate_bps=ceiling_bps)
        told_bps = min(bitrate_bps * every, max(bitrate_bps, self.spec.bitrate_bps))
        control = self._v4l2.v4l2_control()
        control.id, control.value = self._v4l2.V4L2_CID_MPEG_VIDEO_BITRATE, told_bps
        with contextlib.suppress(OSError):  # a driver that cannot keeps the old one
            fcntl.ioctl(self._encoder.vd, self._v4l2.VIDIOC_S_CTRL, control)  # picamera2 says it only once, at its start


def _output(put: Callable[[tuple[bytes, bool, int]], None]) -> Any:
    """A picamera2 Output, which its encoder's thread calls with each access unit."""
    base: Any = importlib.import_module("picamera2.outputs").Output

    class Units(base):  # type: ignore[misc] # known when picamera2 is
        def outputframe(self, frame: bytes, keyframe: bool = True, timestamp: int | None = None, *_more: object, **_named: object) -> None:
            put((bytes(frame), keyframe, timestamp or 0))

    return Units()
