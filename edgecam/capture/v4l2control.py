"""Controls of open V4L2 devices, and what FFmpeg does not say about those that it has open.

The controls of an encoder belong to the open file, so the descriptor that FFmpeg opened must be the one that is used.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from pathlib import Path

from edgecam.capture.v4l2modes import FORMAT, both_ways

# linux/videodev2.h, linux/v4l2-controls.h
VIDIOC_S_CTRL = 0xC008561C
VIDIOC_QUERYCTRL = 0xC0445624
MPEG_VIDEO_BITRATE = 0x009909CF
MPEG_VIDEO_REPEAT_SEQ_HEADER = 0x009909E2
MPEG_VIDEO_HEADER_MODE = 0x009909D8
MPEG_VIDEO_FORCE_KEY_FRAME = 0x009909E5
MPEG_VIDEO_H264_I_PERIOD = 0x00990A66
HEADER_MODE_JOINED_WITH_1ST_FRAME = 1
CTRL_FLAG_DISABLED = 0x0001
BUF_TYPE_VIDEO_OUTPUT, BUF_TYPE_VIDEO_OUTPUT_MPLANE = 2, 10
_CONTROL = struct.Struct("=Ii")
_QUERY = struct.Struct("=II32s4i3I")
VIDIOC_G_FMT = both_ways(4, FORMAT)
_PIX = FORMAT.size - 200  # where the union begins
_BYTES_PER_LINE = {BUF_TYPE_VIDEO_OUTPUT: _PIX + 16, BUF_TYPE_VIDEO_OUTPUT_MPLANE: _PIX + 24}


def open_video_fds() -> frozenset[int]:
    """The descriptors of this process that are open /dev/video* nodes."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            if str(entry.readlink()).startswith("/dev/video"):
                found.add(int(entry.name))
    return frozenset(found)


def offers(fd: int, control: int) -> bool:
    """Whether an open device has that control, and lets it be used."""
    query = _QUERY.pack(control, 0, b"", 0, 0, 0, 0, 0, 0, 0)
    try:
        answer = fcntl.ioctl(fd, VIDIOC_QUERYCTRL, query)
    except OSError:
        return False
    flags = _QUERY.unpack(answer)[7]
    return not flags & CTRL_FLAG_DISABLED


def set_control(fd: int, control: int, value: int) -> bool:
    """Set a control of an open device; False where the driver has none such, or refuses."""
    try:
        fcntl.ioctl(fd, VIDIOC_S_CTRL, _CONTROL.pack(control, value))
    except OSError:
        return False
    return True


def line_bytes(fd: int) -> int:
    """How long an open encoder believes the lines of the first plane to be that it is given; 0 when it does not say."""
    for kind, offset in _BYTES_PER_LINE.items():
        with contextlib.suppress(OSError):
            answer = fcntl.ioctl(fd, VIDIOC_G_FMT, struct.pack("=I", kind).ljust(FORMAT.size, b"\0"))
            (found,) = struct.unpack_from("=I", answer, offset)
            return int(found)
    return 0


def busy_nodes() -> list[str]:
    """Video nodes that somebody has to himself. Opens each for a moment."""
    busy = []
    for node in sorted(entry.path for entry in os.scandir("/dev") if entry.name.startswith("video")):
        try:
            os.close(os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError as error:
            if error.errno == errno.EBUSY:
                busy.append(node)
    return busy
