"""Lets picamera2 drive the cameras of libcamera's virtual pipeline handler; imported by Python at its start.

Four things are missing there that a sensor has: raw modes, pictures of one piece of memory, a status of each picture (libcamera
0.4 leaves it unset), and a clock. The virtual sensor
completes a request as soon as it is queued; here it is queued at the end of each frame's duration, which is what the control
FrameDurationLimits last said.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import mmap
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

FRAME_DURATION = 33_333  # microseconds, until something else is said


class Adapted(Loader):
    """Loads the module as usual, then changes it."""

    def __init__(self, loader: Loader, adapt: Callable[[Any], None]) -> None:
        self.loader, self.adapt = loader, adapt

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        self.adapt(module)


class Finder(MetaPathFinder):
    """Has `adapt` called with the module when it is imported."""

    def __init__(self, name: str, adapt: Callable[[Any], None]) -> None:
        self.name, self.adapt = name, adapt

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        spec.loader = Adapted(spec.loader, self.adapt)
        return spec


class Sensor:
    """Queues the requests of a camera at its frame rate."""

    def __init__(self, queue_request: Callable[[Any, Any], None]) -> None:
        self.queue_request = queue_request
        self.waiting: deque[Any] = deque()
        self.change = threading.Condition()
        self.duration = FRAME_DURATION
        threading.Thread(target=self.run, daemon=True).start()

    def queue(self, camera: Any, request: Any) -> None:
        with self.change:
            self.waiting.append((camera, request))
            self.change.notify()

    def run(self) -> None:
        due = time.monotonic()
        while True:
            with self.change:
                while not self.waiting:
                    self.change.wait()
                camera, request = self.waiting.popleft()
            due = max(due + self.duration / 1e6, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
            with contextlib.suppress(RuntimeError):  # it was stopped meanwhile
                self.queue_request(camera, request)


def adapt(module: Any) -> None:
    libcamera: Any = importlib.import_module("libcamera")

    sensor = Sensor(libcamera.Camera.queue_request)
    set_control = libcamera.Request.set_control

    def noting_set_control(request: Any, control: Any, value: Any) -> None:
        set_control(request, control, value)
        if control == libcamera.controls.FrameDurationLimits:
            sensor.duration = value[0]

    start = libcamera.Camera.start

    def noting_start(camera: Any, controls: dict[Any, Any] | None = None) -> None:
        limits = (controls or {}).get(libcamera.controls.FrameDurationLimits)
        sensor.duration = limits[0] if limits else FRAME_DURATION
        start(camera, controls or {})

    libcamera.Camera.start = noting_start
    libcamera.Camera.queue_request = lambda camera, request: sensor.queue(camera, request)  # noqa: PLW0108 - a function becomes a method, a method does not
    libcamera.Request.set_control = noting_set_control
    libcamera.FrameMetadata.status = property(lambda picture: libcamera.FrameMetadata.Status.Success)
    raw_mode = {"format": "NV12", "size": (1280, 720)}
    module.Picamera2._get_raw_modes = lambda camera: [raw_mode]

    def allocate(allocator: Any, configuration: Any, _use_case: Any) -> None:
        """A plane for luma and one for colour, in the memory of one buffer."""
        allocator.libcamera_fds, allocator.frame_buffers = [], {}
        allocator.cleanup()
        for stream in configuration:
            buffers = []
            for number in range(stream.buffer_count):
                fd = allocator.dmaHeap.alloc(f"virtual-{number}", stream.frame_size).get()
                allocator.open_fds.append(fd)
                luma = stream.stride * stream.size.height
                planes = []
                for offset, length in ((0, luma), (luma, stream.frame_size - luma)):
                    plane = libcamera.FrameBuffer.Plane()
                    plane.fd, plane.offset, plane.length = fd, offset, length
                    planes.append(plane)
                allocator.libcamera_fds.append(planes[0].fd)  # libcamera's own duplicate
                allocator.mapped_buffers_used[planes[0].fd] = False
                buffers.append(libcamera.FrameBuffer(planes))
                allocator.mapped_buffers[buffers[-1]] = mmap.mmap(fd, stream.frame_size)
            allocator.frame_buffers[stream.stream] = buffers

    module.DmaAllocator.allocate = allocate


sys.meta_path.insert(0, Finder("picamera2.picamera2", adapt))
