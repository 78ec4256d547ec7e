"""Pictures out of an open V4L2 device by its own ioctls: a few buffers, each of which the driver gets back when nobody reads it.

FFmpeg's demuxer asks the driver for as many buffers as it will give, 32 with most, which is 59 MB of YUYV in 1280x720.
See linux/videodev2.h and the kernel's "Streaming I/O (Memory Mapping)".
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import select
import struct
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from edgecam.capture.v4l2modes import BUF_TYPE_VIDEO_CAPTURE, FORMAT, Mode, both_ways

# One in the mailbox, one being encoded, one kept for an early keyframe, one displaced at this moment, two for the driver.
BUFFERS = 6
REFUSAL_TOLD_MS = 500  # a driver that takes none of its buffers back is silent
MEMORY_MMAP = 1
BUF_FLAG_ERROR = 0x0040
CAP_TIMEPERFRAME = 0x1000

# Laid out as this machine's C compiler does: v4l2_buffer has a `struct timeval` and a pointer.
_REQUEST = struct.Struct("=5I")
_BUFFER = struct.Struct("@5I2l16s2IL2Ii0L")
_PARAMETERS = struct.Struct("=7I176x")

VIDIOC_S_FMT = both_ways(5, FORMAT)
VIDIOC_REQBUFS = both_ways(8, _REQUEST)
VIDIOC_QUERYBUF = both_ways(9, _BUFFER)
VIDIOC_QBUF = both_ways(15, _BUFFER)
VIDIOC_DQBUF = both_ways(17, _BUFFER)
VIDIOC_STREAMON = 0x40045612
VIDIOC_STREAMOFF = 0x40045613
VIDIOC_G_PARM = both_ways(21, _PARAMETERS)
VIDIOC_S_PARM = both_ways(22, _PARAMETERS)


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What the driver made of a mode: pixels, bytes from one line of the first plane to the next (0: not raw), and its rate, if it
    has one."""

    width: int
    height: int
    line_bytes: int
    rate: Fraction | None


@dataclass(frozen=True, slots=True)
class Filled:
    """What the driver has written, where it wrote it; for as long as anything refers to `data`. `timestamp_us` is of a clock that it
    does not name; `damaged` when it says itself that something is missing."""

    data: memoryview
    timestamp_us: int
    damaged: bool


class V4l2Stream:
    """Capture from one open descriptor, which stays its owner's. Raises OSError, as the driver has it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._memory: list[mmap.mmap] = []
        self._refused: OSError | None = None  # to take a buffer back

    def start(self, mode: Mode) -> Negotiated:
        """Set the mode, take buffers and begin to capture. Raises OSError(EINVAL) when the driver gives another pixel format."""
        width, height, line_bytes = self._set_format(mode)
        rate = self._set_rate(mode)
        self._take_buffers()
        fcntl.ioctl(self._fd, VIDIOC_STREAMON, struct.pack("=i", BUF_TYPE_VIDEO_CAPTURE))
        return Negotiated(width, height, line_bytes, rate)

    def filled(self) -> Iterator[Filled]:
        """Buffers in the order in which they were filled, for ever. A driver that is silent is waited for."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        question = _buffer()
        while True:
            poll.poll(REFUSAL_TOLD_MS)
            if self._refused is not None:
                raise self._refused
            try:
                answer = _BUFFER.unpack(fcntl.ioctl(self._fd, VIDIOC_DQBUF, question))
            except (BlockingIOError, InterruptedError):
                continue
            index, _type, used, flags, _field, seconds, microseconds = answer[:7]
            yield Filled(self._lend(index, used), seconds * 1_000_000 + microseconds, bool(flags & BUF_FLAG_ERROR))

    def close(self) -> None:
        """Stop capturing and give the buffers back; harmless when there is nothing to stop."""
        memory, self._memory = self._memory, []
        for each in memory:
            with contextlib.suppress(BufferError):  # somebody still reads: the memory goes with him
                each.close()
        with contextlib.suppress(OSError):  # the device is gone
            fcntl.ioctl(self._fd, VIDIOC_STREAMOFF, struct.pack("=i", BUF_TYPE_VIDEO_CAPTURE))

    def _lend(self, index: int, used: int) -> memoryview:
        data = memoryview(self._memory[index])[:used]
        # A picture made of it refers to it, an encoder that is slow to that: whoever comes last gives it back, from any thread.
        weakref.finalize(data, self._give_back, index).atexit = False
        return data

    def _give_back(self, index: int) -> None:
        if self._memory:
            try:
                fcntl.ioctl(self._fd, VIDIOC_QBUF, _buffer(index))
            except OSError as error:
                self._refused = error

    def _set_format(self, mode: Mode) -> tuple[int, int, int]:
        wanted = int.from_bytes(mode.fourcc.encode(), "little")
        pix = (mode.width, mode.height, wanted, *[0] * 9)
        answer = fcntl.ioctl(self._fd, VIDIOC_S_FMT, FORMAT.pack(BUF_TYPE_VIDEO_CAPTURE, *pix))
        _type, width, height, given, _field, line_bytes, *_rest = FORMAT.unpack(answer)
        if given != wanted:
            raise OSError(errno.EINVAL, f"it gives {given.to_bytes(4, 'little').decode('latin-1')} instead")
        return width, height, line_bytes

    def _set_rate(self, mode: Mode) -> Fraction | None:
        question = _PARAMETERS.pack(BUF_TYPE_VIDEO_CAPTURE, *[0] * 6)
        try:
            _type, capability, _mode, numerator, denominator, *_rest = self._parameters(VIDIOC_G_PARM, question)
            if capability & CAP_TIMEPERFRAME:
                question = _PARAMETERS.pack(BUF_TYPE_VIDEO_CAPTURE, 0, 0, mode.rate[1], mode.rate[0], 0, 0)
                _type, _capability, _mode, numerator, denominator, *_rest = self._parameters(VIDIOC_S_PARM, question)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOTTY):
                return None
            raise
        return Fraction(denominator, numerator) if numerator and denominator else None

    def _parameters(self, request: int, question: bytes) -> tuple[Any, ...]:
        return _PARAMETERS.unpack(fcntl.ioctl(self._fd, request, question))

    def _take_buffers(self) -> None:
        question = _REQUEST.pack(BUFFERS, BUF_TYPE_VIDEO_CAPTURE, MEMORY_MMAP, 0, 0)
        (count, *_rest) = _REQUEST.unpack(fcntl.ioctl(self._fd, VIDIOC_REQBUFS, question))
        if not count:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        for index in range(count):
            answer = _BUFFER.unpack(fcntl.ioctl(self._fd, VIDIOC_QUERYBUF, _buffer(index)))
            offset, length = answer[10] & 0xFFFFFFFF, answer[11]
            self._memory.append(mmap.mmap(self._fd, length, mmap.MAP_SHARED, mmap.PROT_READ, offset=offset))
            self._give_back(index)
        if self._refused is not None:
            raise self._refused


def _buffer(index: int = 0) -> bytes:
    return _BUFFER.pack(index, BUF_TYPE_VIDEO_CAPTURE, 0, 0, 0, 0, 0, b"", 0, MEMORY_MMAP, 0, 0, 0, 0)
