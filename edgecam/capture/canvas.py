"""Drawing into yuv420p planes with slice assignments: cheap enough to be done in Python for every picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import av

from edgecam.capture.font import ADVANCE, ROWS, glyph_rows

BLACK, WHITE, NEUTRAL = 16, 235, 128  # video range, ITU-R BT.601


class Plane:
    """One plane of a frame, addressed by pixel; knows the stride."""

    def __init__(self, plane: av.video.plane.VideoPlane) -> None:
        self.width, self.height, self.stride = plane.width, plane.height, plane.line_size
        self.bytes = memoryview(plane)

    def put_row(self, x: int, y: int, row: bytes) -> None:
        """Copy pixels; must lie inside."""
        begin = y * self.stride + x
        self.bytes[begin : begin + len(row)] = row

    def repeat_row(self, x: int, y: int, row: bytes, lines: int) -> None:
        """The same pixels on `lines` lines from `y` down."""
        size, data, stride = len(row), self.bytes, self.stride
        for begin in range(y * stride + x, (y + lines) * stride + x, stride):
            data[begin : begin + size] = row


class Canvas:
    """A yuv420p frame that is drawn again and again; `dirty` is where its moving element stands."""

    def __init__(self, width: int, height: int) -> None:
        self.frame = av.VideoFrame(width, height, "yuv420p")
        self.planes = tuple(Plane(plane) for plane in self.frame.planes)
        self.luma, self.cb, self.cr = self.planes
        self.dirty: tuple[int, int] | None = None


class Label:
    """A line of text at a fixed place, luma only; drawn whole, so the text should keep its length."""

    def __init__(self, x: int, y: int, scale: int, ink: int, paper: int) -> None:
        self.x, self.y, self.scale = x, y, scale
        self._style = (scale, ink, paper)
        self._glyphs: dict[str, list[bytes]] = {}

    def draw(self, luma: Plane, text: str) -> None:
        """Draw; what would stick out at the right is cut off."""
        text = text[: (luma.width - self.x) // (ADVANCE * self.scale)]
        glyphs = [self._glyph(char) for char in text]
        for row in range(ROWS):
            line = b"".join([glyph[row] for glyph in glyphs])
            luma.repeat_row(self.x, self.y + row * self.scale, line, self.scale)

    def _glyph(self, char: str) -> list[bytes]:
        if char not in self._glyphs:
            self._glyphs[char] = glyph_rows(char, *self._style)
        return self._glyphs[char]


@dataclass(frozen=True, slots=True)
class Sprite:
    """A shape drawn over a backdrop: per plane, rows of (left, pixels) from its top downwards."""

    width: int
    height: int
    rows: tuple[Sequence[tuple[int, bytes]], ...]

    def draw(self, canvas: Canvas, x: int, y: int) -> None:
        """Draw with the corner at even (x, y); must lie inside."""
        for plane, rows, shift in zip(canvas.planes, self.rows, (0, 1, 1), strict=True):
            for line, (left, pixels) in enumerate(rows, y >> shift):
                plane.put_row((x >> shift) + left, line, pixels)

    def erase(self, canvas: Canvas, backdrop: Sequence[Sequence[bytes]], x: int, y: int) -> None:
        """Put the backdrop (rows per plane) back where `draw` has drawn."""
        for plane, rows, clean, shift in zip(canvas.planes, self.rows, backdrop, (0, 1, 1), strict=True):
            for line, (left, pixels) in enumerate(rows, y >> shift):
                begin = (x >> shift) + left
                plane.put_row(begin, line, clean[line][begin : begin + len(pixels)])


def ball(radius: int, luma: int, cb: int, cr: int) -> Sprite:
    """A ball lit from above left. Radius in pixels, even."""
    return Sprite(
        2 * radius,
        2 * radius,
        (
            tuple(_disc_row(radius, y, luma) for y in range(2 * radius)),
            tuple(_disc_row(radius // 2, y, cb, flat=True) for y in range(radius)),
            tuple(_disc_row(radius // 2, y, cr, flat=True) for y in range(radius)),
        ),
    )


def _disc_row(radius: int, y: int, value: int, flat: bool = False) -> tuple[int, bytes]:
    half = round((radius**2 - (y + 0.5 - radius) ** 2) ** 0.5)
    left = radius - half
    if flat:
        return left, bytes([value]) * (2 * half)
    shade = [
        ((x - 0.6 * radius) ** 2 + (y - 0.6 * radius) ** 2) / (3 * radius**2) for x in range(left, left + 2 * half)
    ]
    return left, bytes(max(BLACK, min(WHITE, round(value * (1.15 - 0.75 * darker)))) for darker in shade)
