"""Time and camera name burnt into the picture: some slices of bytes a picture, the text laid out once a second."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import av

from edgecam.capture.canvas import BLACK, NEUTRAL, WHITE
from edgecam.capture.font import ADVANCE, ROWS, glyph_rows, printable

LINES = 40  # lines of text that would fill a picture's height


@dataclass(frozen=True, slots=True)
class _Layout:
    """The text of a second: luma of its lines from the top, and left, top, width and height of its box, all even."""

    second: int
    lines: Sequence[bytes]
    box: tuple[int, int, int, int]


class Overlay:
    """Draws a line of text into pictures. `name` is shown as it is, none when empty; `clock` shows local time."""

    def __init__(self, name: str, *, clock: bool, corner: str) -> None:
        self._name = printable(name)
        self._clock = clock
        self._at_bottom, self._at_right = corner.startswith("bottom"), corner.endswith("right")
        self._laid_out: dict[tuple[int, int], _Layout] = {}  # by width and height: a source may have its smaller pictures itself
        self._glyphs: dict[tuple[str, int], list[bytes]] = {}

    def draw(self, frame: av.VideoFrame, captured_ns: int) -> av.VideoFrame:
        """Draw into a yuv420p or nv12 picture, captured then (CLOCK_MONOTONIC)."""
        second = (time.time_ns() - time.monotonic_ns() + captured_ns) // 1_000_000_000 if self._clock else 0
        layout = self._laid_out.get((frame.width, frame.height))
        if layout is None or layout.second != second:
            layout = self._laid_out[frame.width, frame.height] = self._lay_out(second, frame.width, frame.height)
        luma, *chroma = frame.planes
        stride, pixels = luma.line_size, memoryview(luma)
        left, top, width, height = layout.box
        for number, row in enumerate(layout.lines):
            begin = (top + number) * stride + left
            pixels[begin : begin + width] = row
        columns = 2 // len(chroma)  # bytes of chroma a pixel pair: nv12 has both in one plane
        grey = bytes([NEUTRAL]) * (width // 2 * columns)
        for plane in chroma:
            stride, pixels = plane.line_size, memoryview(plane)
            for line in range(top // 2, (top + height) // 2):
                begin = line * stride + left // 2 * columns
                pixels[begin : begin + len(grey)] = grey
        return frame

    def _lay_out(self, second: int, width: int, height: int) -> _Layout:
        scale = max(1, height // (LINES * (ROWS - 1)))
        pad = 2 * scale
        text = "  ".join(filter(None, (self._name, time.strftime("%F %T", time.localtime(second)) if self._clock else "")))
        text = text[-max(1, (width - 2 * pad) // (ADVANCE * scale)) :]  # the time stands last: it is what must not be cut off
        glyphs = [self._glyph(char, scale) for char in text]
        side, blank = bytes([BLACK]) * pad, bytes([BLACK]) * (len(text) * ADVANCE * scale)
        rows = [blank] * pad + [b"".join([glyph[row] for glyph in glyphs]) for row in range(ROWS) for _ in range(scale)] + [blank] * pad
        box_width, box_height = (2 * pad + len(blank)) & ~1, len(rows) & ~1
        lines = [(side + row + side)[:box_width] for row in rows[:box_height]]
        left, top = width - box_width if self._at_right else 0, height - box_height if self._at_bottom else 0
        return _Layout(second, lines, (left & ~1, top & ~1, box_width, box_height))

    def _glyph(self, char: str, scale: int) -> list[bytes]:
        if (char, scale) not in self._glyphs:
            self._glyphs[char, scale] = glyph_rows(char, scale, WHITE, BLACK)
        return self._glyphs[char, scale]


def own_copy(frame: av.VideoFrame) -> av.VideoFrame:
    """The same picture in memory of its own: a source's must not be drawn on while others look at it."""
    copy = av.VideoFrame(frame.width, frame.height, frame.format.name)
    for to, of in zip(copy.planes, frame.planes, strict=True):
        target, source = memoryview(to), memoryview(of)
        if to.line_size == of.line_size:
            size = min(len(target), len(source))
            target[:size] = source[:size]
        else:
            step, width = of.line_size, min(to.line_size, of.line_size)
            for line in range(to.height):
                target[line * to.line_size : line * to.line_size + width] = source[line * step : line * step + width]
    return copy
