"""The test source: a moving picture with a clock, for people and for machines; a camera that is always there."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from edgecam.capture.canvas import BLACK, NEUTRAL, WHITE, Canvas, Label, ball
from edgecam.capture.font import ADVANCE, ROWS, printable
from edgecam.capture.frames import Captured, SourceInfo
from edgecam.capture.pacing import steady

STRIP_BITS = 32
# 75 % colour bars, ITU-R BT.601 limited range: luma, Cb, Cr
BARS = (
    (180, 128, 128),
    (162, 44, 142),
    (131, 156, 44),
    (112, 72, 58),
    (84, 184, 198),
    (65, 100, 212),
    (35, 212, 114),
)
INK, PAPER, FAINT = 228, 26, 130  # luma of text, of the panel behind it, of lesser text
CANVASES = 4  # one being drawn, one in the mailbox, one being encoded, one kept for an early keyframe


class Picture:
    """What the test picture looks like at one size; draws any moment of it into a canvas."""

    def __init__(self, width: int, height: int, title: str, fps: float) -> None:
        self.width, self.height = width, height
        self.square = width // 40
        self._white, self._black = bytes([WHITE]) * self.square, bytes([BLACK]) * self.square
        self._swap = bytes.maketrans(bytes([WHITE, BLACK]), bytes([BLACK, WHITE]))
        self._note = f"{width}X{height} {fps:g} FPS"
        self._title = printable(title)
        self._lay_out()
        self._backdrop = self._paint_backdrop()

    def _lay_out(self) -> None:
        width, height = self.width, self.height
        small, big = max(1, width // 320), max(1, width // 92)
        top = 2 * self.square
        free = height - top
        self._clock = Label((width - 12 * ADVANCE * big + big) // 2, top + free // 4, big, INK, PAPER)
        self._panel_top = self._clock.y - 2 * big
        self._panel_end = self._clock.y + (ROWS + 2) * big
        self._heading = Label(self._clock.x, self._panel_top - (ROWS + 3) * small, small, INK, PAPER)
        self._counter = Label(self._clock.x, self._panel_end + 3 * small, small, FAINT, PAPER)
        self._bars_top = height - height // 10 & ~1
        lane_top = self._counter.y + (ROWS + 6) * small + 1 & ~1
        radius = min(height // 12, (self._bars_top - lane_top) // 3) & ~1
        # A picture too small for everything shows what fits: the strip and the bars always do.
        self._texts = self._heading.y >= top and self._counter.y + ROWS * small <= self._bars_top and width >= 160
        self._ball = ball(radius, 190, 84, 172) if radius >= 4 else None
        self._lane = (lane_top, self._bars_top - 2 * radius)

    def _paint_backdrop(self) -> tuple[Sequence[bytes], ...]:
        """Rows of the three planes of everything that never moves."""
        width, height = self.width, self.height
        ramp = bytes(28 + 44 * i // (width + height) for i in range(width + height))
        luma = [ramp[y : y + width] for y in range(height)]
        cool = bytes(140 + 14 * i // (width + height) for i in range(0, width + height, 2))
        cb = [cool[y : y + width // 2] for y in range(height // 2)]
        cr = [bytes([120]) * (width // 2)] * (height // 2)
        for y in range(self._bars_top, height):
            luma[y] = self._bar_row(0, width)
        for y in range(self._bars_top // 2, height // 2):
            cb[y], cr[y] = self._bar_row(1, width // 2), self._bar_row(2, width // 2)
        strip = STRIP_BITS * self.square // 2
        for y in range(self.square):
            cb[y] = cr[y] = bytes([NEUTRAL]) * strip + cb[y][strip:]
            cr[y] = bytes([NEUTRAL]) * strip + bytes([120]) * (width // 2 - strip)
        if self._texts:
            left, right = self._clock.x // 2, width - self._clock.x // 2
            for y in range(self._heading.y - 4 * self._heading.scale, self._counter.y + 11 * self._counter.scale):
                luma[y] = luma[y][:left] + bytes([PAPER]) * (right - left) + luma[y][right:]
        return luma, cb, cr

    @staticmethod
    def _bar_row(component: int, width: int) -> bytes:
        return bytes(BARS[x * len(BARS) // width][component] for x in range(width))

    def canvas(self) -> Canvas:
        """A canvas with everything that never moves."""
        canvas = Canvas(self.width, self.height)
        for plane, rows in zip(canvas.planes, self._backdrop, strict=True):
            for y, row in enumerate(rows):
                plane.put_row(0, y, row)
        if self._texts:
            self._heading.draw(canvas.luma, self._title)
        return canvas

    def draw(self, canvas: Canvas, number: int, wall_ns: int, captured_ns: int = 0) -> None:
        """Show frame `number` at wall clock time `wall_ns`, Unix time in nanoseconds; `captured_ns` is CLOCK_MONOTONIC."""
        wall_ms = wall_ns // 1_000_000
        self._draw_strip(canvas, wall_ms)
        self._draw_lamp(canvas, captured_ns)
        if self._ball is not None:
            self._move_ball(canvas, wall_ms)
        if self._texts:
            now = time.localtime(wall_ms // 1000)
            clock = f"{now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02}.{wall_ms % 1000:03}"
            self._clock.draw(canvas.luma, clock)
            self._counter.draw(canvas.luma, f"#{number % 10**8:08}  {self._note}")
            self._draw_second(canvas, wall_ms % 1000)

    def _draw_strip(self, canvas: Canvas, wall_ms: int) -> None:
        """The clock strip: 32 squares, wall clock milliseconds modulo 2**32, MSB first, then the same inverted."""
        white, black = self._white, self._black
        row = b"".join([white if bit == "1" else black for bit in f"{wall_ms & 0xFFFFFFFF:032b}"])
        canvas.luma.repeat_row(0, 0, row, self.square)
        canvas.luma.repeat_row(0, self.square, row.translate(self._swap), self.square)

    def _draw_lamp(self, canvas: Canvas, captured_ns: int) -> None:
        """In the upper right corner, lit for the first tenth of each second, which is when the test microphone beeps."""
        left = (STRIP_BITS + 3) * self.square
        level = WHITE if captured_ns % 1_000_000_000 < 100_000_000 else BLACK
        canvas.luma.repeat_row(left, 0, bytes([level]) * (self.width - left), 2 * self.square)

    def _move_ball(self, canvas: Canvas, wall_ms: int) -> None:
        assert self._ball is not None
        if canvas.dirty is not None:
            self._ball.erase(canvas, self._backdrop, *canvas.dirty)
        top, bottom = self._lane
        way = self.width - self._ball.width
        across = abs((wall_ms / 6000) % 2 - 1)  # there and back in 12 s
        bounce = abs(math.sin(wall_ms / 1000 * math.pi))
        canvas.dirty = (int(across * way) & ~1, int(bottom - bounce * (bottom - top)) & ~1)
        self._ball.draw(canvas, *canvas.dirty)

    def _draw_second(self, canvas: Canvas, ms: int) -> None:
        """A line under the clock that fills once a second."""
        width = self.width - 2 * self._clock.x
        done = width * ms // 1000
        row = bytes([INK]) * done + bytes([60]) * (width - done)
        lines = max(1, self._clock.scale // 4)
        canvas.luma.repeat_row(self._clock.x, self._panel_end - lines, row, lines)


class TestSource:
    """FrameSource of the test picture. Sizes in pixels; `fps` may be fractional."""

    __test__ = False  # not a test case, whatever pytest thinks of the name

    def __init__(self, width: int, height: int, fps: float, title: str) -> None:
        self._size = (width, height)
        self._fps = fps
        self._title = title
        self._free: deque[Canvas] = deque()

    def open(self) -> SourceInfo:
        self._picture = Picture(*self._size, self._title, self._fps)
        self._free.extend(self._picture.canvas() for _ in range(CANVASES))
        return SourceInfo("test picture", "yuv420p", *self._size, self._fps)

    def frames(self) -> Iterator[Captured | None]:
        for number in steady(self._fps):
            # The mailbox displaces and releases before it keeps more, so one is always free.
            canvas = self._free.popleft()
            captured_ns, wall_ns = time.monotonic_ns(), time.time_ns()
            self._picture.draw(canvas, number, wall_ns, captured_ns)
            yield Captured(canvas.frame, captured_ns, self._giver(canvas))

    def _giver(self, canvas: Canvas) -> Callable[[], None]:
        return lambda: self._free.append(canvas)

    def close(self) -> None:
        self._free.clear()
