"""Controls of a V4L2 encoder that FFmpeg has open: FFmpeg sets the bitrate only when it opens the device.

The controls belong to the open file, so the descriptor that FFmpeg opened must be the one that is used.
"""

from __future__ import annotations

import contextlib
import fcntl
import struct
from pathlib import Path

# linux/videodev2.h, linux/v4l2-controls.h
VIDIOC_S_CTRL = 0xC008561C
V4L2_CID_MPEG_VIDEO_BITRATE = 0x009909CF
_CONTROL = struct.Struct("=Ii")


def open_video_fds() -> frozenset[int]:
    """The descriptors of this process that are open /dev/video* nodes."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            if str(entry.readlink()).startswith("/dev/video"):
                found.add(int(entry.name))
    return frozenset(found)


def set_bitrate(fd: int, bitrate_bps: int) -> None:
    """Change an open encoder's bitrate. Drivers that cannot keep the old one."""
    with contextlib.suppress(OSError):
        fcntl.ioctl(fd, VIDIOC_S_CTRL, _CONTROL.pack(V4L2_CID_MPEG_VIDEO_BITRATE, bitrate_bps))
