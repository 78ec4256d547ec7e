"""What a V4L2 capture device can do, asked with ioctls, and which mode suits best."""

from __future__ import annotations

import errno
import fcntl
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# linux/videodev2.h
VIDIOC_QUERYCAP = 0x80685600
VIDIOC_ENUM_FMT = 0xC0405602
VIDIOC_ENUM_FRAMESIZES = 0xC02C564A
VIDIOC_ENUM_FRAMEINTERVALS = 0xC034564B
CAP_VIDEO_CAPTURE = 0x00000001
CAP_VIDEO_CAPTURE_MPLANE = 0x00001000
CAP_DEVICE_CAPS = 0x80000000
BUF_TYPE_VIDEO_CAPTURE = 1
TYPE_DISCRETE = 1

# Laid out as this machine's C compiler does: v4l2_pix_format of a v4l2_format, whose union has pointers in it.
FORMAT = struct.Struct("@I0P8I4I152x0P")
_CAPABILITY = struct.Struct("=16s32s32sIII12x")
_FMTDESC = struct.Struct("=III32sI16x")
_FRMSIZE = struct.Struct("=III6I8x")
_FRMIVAL = struct.Struct("=IIIII6I8x")


def both_ways(number: int, layout: struct.Struct) -> int:
    """_IOWR('V', number, layout)"""
    return 0xC0005600 | layout.size << 16 | number


# Pixel formats by V4L2's name, the best first: FFmpeg's name for each. Raw ones cost no decoding, 4:2:0 no conversion.
INPUT_FORMATS = {
    "YU12": "yuv420p",
    "YUYV": "yuyv422",
    "NV12": "nv12",
    "UYVY": "uyvy422",
    "MJPG": "mjpeg",
    "JPEG": "mjpeg",
    "H264": "h264",  # last: passed through untouched, so that nobody's link and no overlay can be heeded
}
SETTINGS = {"yuyv": ("YUYV",), "nv12": ("NV12",), "h264": ("H264",), "mjpeg": ("MJPG", "JPEG")}  # by the word in the settings


@dataclass(frozen=True, slots=True)
class SizeRange:
    """Sizes in pixels that a format comes in; a single one when smallest and largest agree."""

    min_width: int
    max_width: int
    step_width: int
    min_height: int
    max_height: int
    step_height: int

    def nearest(self, width: int, height: int) -> tuple[int, int]:
        return (
            _clamp(width, self.min_width, self.max_width, self.step_width),
            _clamp(height, self.min_height, self.max_height, self.step_height),
        )

    def __str__(self) -> str:
        smallest = f"{self.min_width}x{self.min_height}"
        largest = f"{self.max_width}x{self.max_height}"
        return smallest if smallest == largest else f"{smallest}…{largest}"


def _clamp(value: int, low: int, high: int, step: int) -> int:
    return max(low, min(high, low + (value - low) // max(1, step) * max(1, step)))


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """A format that the device offers: V4L2's four characters, its words for people, its sizes (may be unknown)."""

    fourcc: str
    description: str
    sizes: tuple[SizeRange, ...]


@dataclass(frozen=True, slots=True)
class Device:
    """What the driver says of itself. `captures` is false for encoders, metadata and radio nodes."""

    card: str
    driver: str
    captures: bool
    multiplanar: bool
    formats: tuple[PixelFormat, ...]


@dataclass(frozen=True, slots=True)
class Mode:
    """What to ask for: V4L2's four characters, pixels, frames per second as numerator and denominator."""

    fourcc: str
    width: int
    height: int
    rate: tuple[int, int]

    @property
    def input_format(self) -> str:
        """FFmpeg's name of the format."""
        return INPUT_FORMATS[self.fourcc]

    @property
    def fps(self) -> float:
        return self.rate[0] / self.rate[1]


def describe(fd: int) -> Device:
    """Ask an open device node what it is. Raises OSError when it is no V4L2 device."""
    raw = fcntl.ioctl(fd, VIDIOC_QUERYCAP, bytes(_CAPABILITY.size))
    driver, card, _bus, _version, capabilities, device_caps = _CAPABILITY.unpack(raw)
    caps = device_caps if capabilities & CAP_DEVICE_CAPS else capabilities
    captures = bool(caps & CAP_VIDEO_CAPTURE)
    return Device(
        _text(card),
        _text(driver),
        captures,
        bool(caps & CAP_VIDEO_CAPTURE_MPLANE),
        tuple(_formats(fd)) if captures else (),
    )


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode(errors="replace")


def _enumerate(fd: int, request: int, layout: struct.Struct, *key: int) -> Iterator[tuple[Any, ...]]:
    """The answers of one of V4L2's enumerations, which end with an error. Drivers need not offer them."""
    for index in range(256):  # no driver has more; a broken one might not end
        question = struct.pack(f"={1 + len(key)}I", index, *key).ljust(layout.size, b"\0")
        try:
            answer = fcntl.ioctl(fd, request, question)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOTTY):
                return
            raise
        yield layout.unpack(answer)


def _formats(fd: int) -> Iterator[PixelFormat]:
    for _index, _type, _flags, description, pixelformat in _enumerate(
        fd, VIDIOC_ENUM_FMT, _FMTDESC, BUF_TYPE_VIDEO_CAPTURE
    ):
        fourcc = pixelformat.to_bytes(4, "little").decode("latin-1")
        yield PixelFormat(fourcc, _text(description), tuple(_sizes(fd, pixelformat)))


def _sizes(fd: int, pixelformat: int) -> Iterator[SizeRange]:
    for _index, _format, kind, *sizes in _enumerate(fd, VIDIOC_ENUM_FRAMESIZES, _FRMSIZE, pixelformat):
        if kind == TYPE_DISCRETE:
            width, height = sizes[:2]
            yield SizeRange(width, width, 1, height, height, 1)
        else:
            yield SizeRange(*sizes)


def _rates(fd: int, fourcc: str, width: int, height: int) -> Iterator[tuple[int, int]]:
    """Frame rates at a size, as fractions. A range gives its fastest."""
    pixelformat = int.from_bytes(fourcc.encode("latin-1"), "little")
    for _index, _format, _width, _height, _kind, numerator, denominator, *_rest in _enumerate(
        fd, VIDIOC_ENUM_FRAMEINTERVALS, _FRMIVAL, pixelformat, width, height
    ):
        if numerator and denominator:
            yield denominator, numerator


def choose_mode(fd: int, device: Device, wanted: str, width: int, height: int, fps: float) -> Mode | None:
    """The mode nearest in size, then one that reaches `fps`, then the one cheapest to process; None when nothing fits.

    `wanted` is `auto` or a word of SETTINGS.
    """
    allowed = SETTINGS.get(wanted, tuple(INPUT_FORMATS))
    best: tuple[tuple[float, ...], Mode] | None = None
    for offered in device.formats:
        if offered.fourcc not in allowed:
            continue
        for sizes in offered.sizes or (SizeRange(width, width, 1, height, height, 1),):
            mode = _mode(fd, offered.fourcc, *sizes.nearest(width, height), fps)
            rank = _rank(mode, offered.fourcc, width, height, fps)
            if best is None or rank < best[0]:
                best = (rank, mode)
    return best[1] if best is not None else None


def _mode(fd: int, fourcc: str, width: int, height: int, fps: float) -> Mode:
    rates = list(_rates(fd, fourcc, width, height))
    enough = [rate for rate in rates if _reaches(rate[0] / rate[1], fps)]
    if enough:
        rate = min(enough, key=lambda rate: rate[0] / rate[1])
    elif rates:
        rate = max(rates, key=lambda rate: rate[0] / rate[1])
    else:
        rate = (round(fps * 1000), 1000)
    return Mode(fourcc, width, height, rate)


def _reaches(rate: float, fps: float) -> bool:
    return rate > fps * 0.98  # 29.97 is 30 to everybody


def _rank(mode: Mode, fourcc: str, width: int, height: int, fps: float) -> tuple[float, ...]:
    """Smaller is better."""
    distance = abs(mode.width * mode.height - width * height)
    short = 0.0 if _reaches(mode.fps, fps) else fps - mode.fps
    return (distance, short, list(INPUT_FORMATS).index(fourcc), mode.width * mode.height)
