"""One H.264 stream for every contestant: access units in a file, played in real time without encoding.

1280x720 at 29.7 fps, about 2 Mbit/s, one slice a picture, an IDR picture every two seconds, SPS and PPS before each.
Made once from real footage, by edgecam's own encoder. Only the standard library is imported, since Debian's Python,
which has GStreamer, reads it too.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WIDTH, HEIGHT = 1280, 720
FPS = 29.7  # not 30, so that the phase against a screen's 60 Hz sweeps
BITRATE = 2_000_000  # bit/s asked of the encoder
GROUP = 59  # pictures from one IDR to the next, about two seconds
GROUPS = 10
PERIOD_NS = round(1e9 / FPS)
FILE = Path(__file__).resolve().parents[2] / ".cache" / "bench" / "stream-1.units"
_HEADER = struct.Struct("=?I")  # keyframe, length


@dataclass(frozen=True)
class Unit:
    """An access unit, Annex B."""

    data: bytes
    keyframe: bool


def load(file: Path = FILE) -> list[Unit]:
    """The units in order; played in a circle they are one decodable stream."""
    packed = file.read_bytes()
    units, at = [], 0
    while at < len(packed):
        keyframe, length = _HEADER.unpack_from(packed, at)
        at += _HEADER.size
        units.append(Unit(packed[at : at + length], keyframe))
        at += length
    return units


def bits_per_second(units: list[Unit]) -> float:
    """What the units really need."""
    return 8 * FPS * sum(len(unit.data) for unit in units) / len(units)


def played(units: list[Unit]) -> Iterator[tuple[int, Unit]]:
    """(number from 0, unit), each yielded when it is due, for ever. Blocks between."""
    begun = time.monotonic_ns()
    number = 0
    while True:
        wait = begun + number * PERIOD_NS - time.monotonic_ns()
        if wait > 0:
            time.sleep(wait / 1e9)
        yield number, units[number % len(units)]
        number += 1


def ensure(file: Path = FILE) -> list[Unit]:
    """The units, made from Debian's footage if they are not there yet; that takes some seconds."""
    if not file.exists():
        packed = b"".join(_HEADER.pack(unit.keyframe, len(unit.data)) + unit.data for unit in _encode())
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".part")
        unfinished.write_bytes(packed)
        unfinished.replace(file)
    return load(file)


def _encode() -> Iterator[Unit]:
    """The footage, every picture once: ten a second become 29.7, which makes a street as lively as 2 Mbit/s want."""
    import av

    from edgecam.capture.candidates import EncoderSpec
    from edgecam.capture.encoder import H264Encoder
    from tests.harness.footage import surveillance_footage

    encoder = H264Encoder("libx264", EncoderSpec(WIDTH, HEIGHT, FPS, BITRATE, 300))
    with av.open(str(surveillance_footage())) as container:
        pictures = container.decode(video=0)
        for number in range(GROUP * GROUPS):
            for encoded in encoder.encode(next(pictures), number * PERIOD_NS, number % GROUP == 0):
                yield Unit(encoded.data, encoded.keyframe)
