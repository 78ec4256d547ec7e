"""libcamera cameras through picamera2: CSI cameras of a Raspberry Pi, and whatever else libcamera drives.

picamera2 and libcamera exist only as packages of the distribution, so they are imported when such a camera is opened and
nowhere else. A picture is handed on where libcamera wrote it: the encoder reads the camera's own buffer.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import av

from edgecam.capture.capturetime import libcamera_time
from edgecam.capture.frames import Captured, SourceInfo
from edgecam.capture.pacing import RateCap
from edgecam.capture.picameracontrols import controls_of, parsed
from edgecam.errors import CaptureError
from edgecam.media.types import ControlsNow

# One in the mailbox, one being encoded, one kept for an early keyframe, one displaced at this moment, two for the camera.
BUFFERS = 6
# libcamera's names and FFmpeg's, of the formats whose memory can be used as it is.
FORMATS = {"YUV420": "yuv420p", "NV12": "nv12"}
INSTALL = (
    "apt install python3-picamera2; a virtual environment sees it if the distribution's Python made it with --system-site-packages, "
    "as `make run` does"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a camera: `camera` is an index, an id or a model; sizes in pixels, `small` is the ISP's second stream;
    `rotation` in degrees; `roi` is x, y, width, height as shares of the field of view."""

    camera: str
    width: int
    height: int
    fps: float
    small: tuple[int, int] | None = None
    rotation: int = 0
    hflip: bool = False
    vflip: bool = False
    roi: Sequence[float] = ()


class Picamera:
    """FrameSource of one libcamera camera, whose controls can be set while it runs."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self.camera: Any = None  # the open Picamera2
        self._name = ""
        self._ready: SimpleQueue[Any] = SimpleQueue()  # completed requests, never more than there are buffers
        self._pictures: dict[tuple[str, int], av.VideoFrame] = {}  # of each buffer: stream, descriptor
        self._requests: dict[int, Any] = {}  # of each main picture: the request that fills it
        self._set: dict[str, object] = {}
        self._mapped: Any = None
        self._timestamp: Any = None  # the id of the sensor's

    def open(self) -> SourceInfo:
        picamera2, libcamera = load()
        self._mapped, self._timestamp = picamera2.MappedArray, libcamera.controls.SensorTimestamp
        number, name = chosen(picamera2.Picamera2.global_camera_info(), self._wanted.camera)
        self._name = name
        with _errors_named(name):
            self.camera = picamera2.Picamera2(number)
            self._configure(libcamera, name)
        main = self.camera.camera_configuration()["main"]
        if main["format"] not in FORMATS:
            remedy = 'a USB camera is better used with source = "v4l2"'
            raise CaptureError(f"{name} gives {main['format']}, neither YUV420 nor NV12", remedy=remedy, code="camera-format")
        with _errors_named(name):
            fps = self._begin_with_controls()
        width, height = main["size"]
        # PyAV wraps planes of heights that are multiples of four.
        return SourceInfo(f"picamera2 {name}", main["format"], width & ~1, height & ~3, fps)

    def frames(self) -> Iterator[Captured | None]:
        cap = RateCap(self._wanted.fps)
        self.camera.pre_callback = self._arrived
        with _errors_named(self._name):
            self.camera.start()  # with all controls that have been set
        while True:
            request = self._ready.get()
            captured_ns = libcamera_time(request.request.metadata.get(self._timestamp), time.monotonic_ns())
            if not cap.passes(captured_ns):
                request.release()
                continue
            small = self._picture(request, "lores") if self._wanted.small else None
            yield Captured(self._picture(request, "main"), captured_ns, request.release, small)

    def request_of(self, picture: av.VideoFrame) -> Any:
        """The completed request of a picture that has not been released."""
        return self._requests[id(picture)]

    def close(self) -> None:
        if self.camera is not None:
            self.camera.close()
            self.camera = None

    def set_controls(self, values: Mapping[str, Any]) -> ControlsNow:
        """With the next request, before the first picture with that."""
        known = self.camera.camera_ctrl_info
        right, refused = parsed(values, known)
        try:
            with self.camera.request_lock:  # picamera2 takes what is set and forgets it under this lock
                self.camera.set_controls(right)
            self._set.update(right)
        except (RuntimeError, TypeError, ValueError) as error:  # picamera2 has looked at them too
            refused |= dict.fromkeys(values, str(error))
        return ControlsNow(refused, controls_of(known, self._set))

    def _configure(self, libcamera: Any, name: str) -> None:
        wanted = self._wanted
        half_turn = wanted.rotation == 180
        transform = libcamera.Transform(hflip=wanted.hflip != half_turn, vflip=wanted.vflip != half_turn)
        configuration = self.camera.create_video_configuration(
            main={"size": (wanted.width, wanted.height), "format": "YUV420"},
            lores={"size": wanted.small, "format": "YUV420"} if wanted.small else None,
            transform=transform,
            buffer_count=BUFFERS,
            queue=False,
            display=None,
        )
        self.camera.configure(configuration)
        if self.camera.camera_configuration()["transform"] != transform:
            raise CaptureError(
                f"{name} cannot turn or mirror its picture like that",
                remedy="leave out rotation, hflip and vflip, or turn the camera",
                code="camera-format",
            )

    def _begin_with_controls(self) -> float:
        """Frame rate and region; the frames per second that this gives."""
        known, fps = self.camera.camera_ctrl_info, self._wanted.fps
        first: dict[str, object] = {}
        if "FrameDurationLimits" in known:
            info = known["FrameDurationLimits"][1]
            duration = max(info.min, min(info.max, round(1e6 / fps)))
            first["FrameDurationLimits"] = [duration, duration]
            fps = min(fps, 1e6 / duration)
        if self._wanted.roi:
            first["ScalerCrop"] = self._crop()
        self.set_controls(first)
        self._set.clear()
        return fps

    def _crop(self) -> list[int]:
        """The region in the sensor's pixels."""
        whole = self.camera.camera_properties.get("ScalerCropMaximum")
        if whole is None:
            raise CaptureError("this camera cannot show a part of its picture", remedy="leave out roi", code="camera-format")
        x, y, width, height = self._wanted.roi
        return [round(whole[0] + x * whole[2]), round(whole[1] + y * whole[3]), round(width * whole[2]), round(height * whole[3])]

    def _arrived(self, request: Any) -> None:
        """In picamera2's thread, where whatever is raised would end the camera silently."""
        request.acquire()
        self._ready.put(request)

    def _picture(self, request: Any, stream: str) -> av.VideoFrame:
        """The buffer of that stream as a picture: no copy, and no more pictures than there are buffers."""
        key = stream, request.request.buffers[request.stream_map[stream]].planes[0].fd
        picture = self._pictures.get(key)
        if picture is None:
            with self._mapped(request, stream, reshape=False, write=False) as mapped:
                array = mapped.array
            configuration = request.config[stream]
            (width, height), stride = configuration["size"], configuration["stride"]
            rows = (height & ~3) * 3 // 2
            if height % 4:
                raise CaptureError(f"a picture {height} pixels high", remedy="set height to a multiple of 4", code="camera-format")
            planes = array[: rows * stride].reshape(rows, stride)
            picture = av.VideoFrame.from_numpy_buffer(planes, FORMATS[configuration["format"]], width=width)
            self._pictures[key] = picture
        if stream == "main":
            self._requests[id(picture)] = request
        return picture


def load() -> tuple[Any, Any]:
    """picamera2 and libcamera. Raises CaptureError (picamera-missing)."""
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:WARN")
    try:
        return importlib.import_module("picamera2"), importlib.import_module("libcamera")
    except ImportError as error:
        raise CaptureError(f"picamera2 cannot be imported ({error})", remedy=INSTALL, code="picamera-missing") from error


def chosen(found: Sequence[Mapping[str, Any]], camera: str) -> tuple[int, str]:
    """Place in picamera2's list and name of the camera with that index, id or model. Raises CaptureError (camera-absent)."""
    names = [f"{info.get('Model', 'unknown')} ({info['Id']})" for info in found]
    for number, info in enumerate(found):
        if camera in (str(number), info["Id"], info.get("Model")):
            return number, names[number]
    there = f"libcamera sees {', '.join(names)}" if names else "libcamera sees none; check the cable and its connector"
    raise CaptureError(f"there is no camera {camera!r}", remedy=there, code="camera-absent")


@contextlib.contextmanager
def _errors_named(name: str) -> Iterator[None]:
    """What picamera2 raises, as a CaptureError: it knows RuntimeError and little else, the cause says more."""
    try:
        yield
    except (RuntimeError, OSError, LookupError, AttributeError, ValueError) as error:
        why = str(error.__cause__ or error)
        busy = "busy" in why.lower()
        raise CaptureError(
            f"{name} is in use" if busy else f"{name} cannot be opened: {why}",
            remedy="end the program that uses it" if busy else "check the cable and the kernel log, and try `rpicam-hello`",
            code="camera-busy" if busy else "camera-io",
        ) from error
