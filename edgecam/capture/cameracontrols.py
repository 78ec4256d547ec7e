"""A V4L2 camera's controls by the names that `v4l2-ctl -l` prints: what there is, and setting them while pictures come."""

from __future__ import annotations

import contextlib
import fcntl
import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from edgecam.media.types import Control

# linux/videodev2.h
VIDIOC_G_CTRL = 0xC008561B
VIDIOC_S_CTRL = 0xC008561C
VIDIOC_QUERYCTRL = 0xC0445624
VIDIOC_QUERYMENU = 0xC02C5625
NEXT_CTRL = 0x80000000
FLAG_DISABLED, FLAG_READ_ONLY, FLAG_WRITE_ONLY = 0x0001, 0x0004, 0x0040
TYPES = {1: "integer", 2: "boolean", 3: "menu", 4: "button"}
_QUERY = struct.Struct("=II32s4i3I")
_MENU = struct.Struct("=II32sI")
_CONTROL = struct.Struct("=Ii")
MOST = 256  # no driver has more; a broken one might not end


class Controls:
    """Those of an open device. Makes no copy of what the driver knows: others may change it too."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._found = dict(self._enumerate())

    def set(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Set each; those that were refused, and why. A menu takes a number or its entry's words."""
        answers = {name: self._set(name, value) for name, value in values.items()}
        return {name: why for name, why in answers.items() if why}

    def now(self) -> list[Control]:
        """All of them with the values that they have now."""
        return [self._read(name, number, query) for name, (number, query) in self._found.items()]

    def _set(self, name: str, value: Any) -> str:
        if name not in self._found:
            return f"there is no control {name}"
        number, (_id, kind, _name, low, high, *_rest) = self._found[name]
        if isinstance(value, str):
            choices = self._choices(number, kind, low, high)
            if value not in choices:
                return f"{name} is not {value!r}" + (f" but one of {', '.join(choices)}" if choices else " but a number")
            value = choices[value]
        if not isinstance(value, int):
            return f"{name} is not {value} but a whole number"
        try:
            fcntl.ioctl(self._fd, VIDIOC_S_CTRL, _CONTROL.pack(number, value))
        except (OSError, struct.error) as error:
            why = error.strerror if isinstance(error, OSError) else "too large"
            return f"{name} = {int(value)} is refused ({why}); it takes {low} to {high}"
        return ""

    def _enumerate(self) -> Iterator[tuple[str, tuple[int, tuple[Any, ...]]]]:
        number = 0
        for _ in range(MOST):
            try:
                answer = fcntl.ioctl(self._fd, VIDIOC_QUERYCTRL, struct.pack("=I", number | NEXT_CTRL).ljust(_QUERY.size, b"\0"))
            except OSError:
                return
            query = _QUERY.unpack(answer)
            number = query[0]
            if query[1] in TYPES and not query[7] & (FLAG_DISABLED | FLAG_READ_ONLY):
                yield plain_name(query[2].split(b"\0")[0].decode(errors="replace")), (number, query)

    def _choices(self, number: int, kind: int, low: int, high: int) -> dict[str, int]:
        """A menu's entries by their words."""
        return {words: index for index, words in self._menu(number, low, high)} if TYPES[kind] == "menu" else {}

    def _menu(self, number: int, low: int, high: int) -> Iterator[tuple[int, str]]:
        for index in range(low, min(high, low + MOST) + 1):
            try:
                answer = fcntl.ioctl(self._fd, VIDIOC_QUERYMENU, _MENU.pack(number, index, b"", 0))
            except OSError:
                continue  # menus have holes
            yield index, _MENU.unpack(answer)[2].split(b"\0")[0].decode(errors="replace")

    def _read(self, name: str, number: int, query: tuple[Any, ...]) -> Control:
        _id, kind, _words, low, high, step, default, flags, *_rest = query
        value = None
        if TYPES[kind] != "button" and not flags & FLAG_WRITE_ONLY:
            with contextlib.suppress(OSError):
                (_number, value) = _CONTROL.unpack(fcntl.ioctl(self._fd, VIDIOC_G_CTRL, _CONTROL.pack(number, 0)))
        return Control(name, TYPES[kind], low, high, step, default, value, self._choices(number, kind, low, high))


def plain_name(words: str) -> str:
    """"Exposure Time, Absolute" is exposure_time_absolute, as `v4l2-ctl` has it."""
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
