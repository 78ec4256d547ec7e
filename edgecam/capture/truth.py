"""Does the camera see anything? A look at some rows of a picture once a second: frozen, black, or no signal at all."""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass

import av

LOOK_NS = 1_000_000_000  # between two looks
DARK_LOOK_NS = 500_000_000  # the same while it is dark: the end of that is to be told at once
# And while pictures repeat themselves. No round number: a film that is looped must not be looked at in the same places.
REPEATED_LOOK_NS = 210_000_000
ROWS = 36  # of each picture, evenly spaced
COLUMNS = 256  # pixels of each of them, about: what brightness is measured of
BLOCKS = 16  # in which they are averaged, with ROWS_A_BLOCK rows: noise goes, shapes stay
ROWS_A_BLOCK = 4
REMEMBERED = 8  # pictures: a driver that gives its last buffers in turn repeats itself too

FROZEN_NS = 10_000_000_000
BLACK_NS = 5_000_000_000
NO_SIGNAL_NS = 5_000_000_000

# Black is 16, or 0 of cameras that use the full range; what covers a lens lets a little noise through, and no shapes.
DARK = 40
BRIGHT_SHARE = 0.005  # of the pixels may be brighter: hot ones
BLACK_MEAN = 28.0
SHAPES = 1.5  # standard deviation of the blocks' means
# No sensor gives the same row twice; a picture of bars, or of one colour, has but a few different ones.
COMPUTED_ROWS = 4

UNKNOWN, GOOD, FROZEN, BLACK, NO_SIGNAL = "unknown", "good", "frozen-picture", "black-picture", "no-signal"
_NOT_DARK = bytes(range(DARK + 1))


@dataclass(frozen=True, slots=True)
class Glance:
    """What one picture is like. `print` is the same for pictures that are the same to the bit."""

    print: int
    black: bool
    computed: bool


def glance(frame: av.VideoFrame) -> Glance:
    """Look at some rows of it. Nothing is averaged before it is compared: noise is what tells a still scene from a dead camera."""
    plane = frame.planes[0]
    data, stride = memoryview(plane), plane.line_size
    width = frame.width * (2 if frame.format.name == "yuyv422" else 1)  # bytes; luma is every second one there
    step = max(1, frame.width // COLUMNS) * (width // frame.width)
    starts = [(2 * n + 1) * frame.height // (2 * ROWS) * stride for n in range(ROWS)]
    rows = [bytes(data[start : start + width]) for start in starts]
    checksum = 0
    for row in rows:
        checksum = zlib.crc32(row, checksum)
    return Glance(checksum, _is_black([row[::step] for row in rows]), len(set(rows)) <= COMPUTED_ROWS)


def _is_black(rows: list[bytes]) -> bool:
    everything = b"".join(rows)
    if len(everything.translate(None, _NOT_DARK)) > BRIGHT_SHARE * len(everything):
        return False
    if sum(everything) > BLACK_MEAN * len(everything):
        return False
    size = max(1, len(rows[0]) // BLOCKS)
    bands = [rows[n : n + ROWS_A_BLOCK] for n in range(0, ROWS, ROWS_A_BLOCK)]
    blocks = [b"".join(row[n : n + size] for row in band) for band in bands for n in range(0, size * BLOCKS, size)]
    means = [sum(block) / len(block) for block in blocks if block]
    mean = sum(means) / len(means)
    return bool(sum((each - mean) ** 2 for each in means) / len(means) < SHAPES**2)


class PictureTruth:
    """Looks at pictures now and then, and keeps `state`: `unknown` before it can tell, `good`, or what has been wrong for long
    enough: `frozen-picture`, `black-picture`, `no-signal`."""

    def __init__(self) -> None:
        self.state = UNKNOWN
        self._due_ns = 0
        self._prints: deque[int] = deque(maxlen=REMEMBERED)
        self._since_ns: dict[str, int] = {}  # when each suspicion began

    def see(self, frame: av.VideoFrame, now_ns: int) -> None:
        """A picture came, CLOCK_MONOTONIC. Costs nothing but a comparison, most of the time."""
        if now_ns < self._due_ns:
            return
        self.judge(glance(frame), now_ns)
        self._due_ns = now_ns + self._pause_ns()

    def _pause_ns(self) -> int:
        if FROZEN in self._since_ns:
            return REPEATED_LOOK_NS
        return DARK_LOOK_NS if self.state == BLACK else LOOK_NS

    def judge(self, seen: Glance, now_ns: int) -> None:
        """One more picture, as it was seen."""
        known, repeated = bool(self._prints), seen.print in self._prints
        if not repeated:
            self._prints.append(seen.print)
        self._suspect(BLACK, seen.black, now_ns)
        self._suspect(NO_SIGNAL, repeated and seen.computed and not seen.black, now_ns)
        self._suspect(FROZEN, repeated and not seen.black, now_ns)
        for fault, after_ns in ((BLACK, BLACK_NS), (NO_SIGNAL, NO_SIGNAL_NS), (FROZEN, FROZEN_NS)):
            if fault in self._since_ns and now_ns - self._since_ns[fault] >= after_ns:
                self.state = fault
                return
        self.state = GOOD if known and not self._since_ns else UNKNOWN

    def _suspect(self, fault: str, suspicious: bool, now_ns: int) -> None:
        if suspicious:
            self._since_ns.setdefault(fault, now_ns)
        else:
            self._since_ns.pop(fault, None)
