"""Where sound comes from: a microphone through ALSA, or a beep for machines that have none."""

from __future__ import annotations

import array
import errno
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import av

from edgecam.capture.alsa import broken, require_alsa
from edgecam.capture.capturetime import wall_time
from edgecam.capture.pacing import sleep_until

RATE = 48_000  # Hz: what Opus runs at, RFC 7587 section 4.1
CHUNK_NS = 20_000_000
BEEP_HZ, BEEP_SECONDS, BEEP_LEVEL = 1000, 0.1, 9000


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some sound. `captured_ns` is CLOCK_MONOTONIC of its first sample."""

    frame: av.AudioFrame
    captured_ns: int


class SoundSource(Protocol):
    """Lives in the microphone's process; any call may block for ever."""

    def open(self) -> str:
        """Open the device; what it is, for people. Raises CaptureError."""

    def chunks(self) -> Iterator[Chunk]:
        """Sound as it comes, for ever. Raises CaptureError."""


class Beep:
    """Beeps for 100 ms at every whole second of CLOCK_MONOTONIC; the test picture's lamp lights up at the same time."""

    def open(self) -> str:
        beep = [
            round(BEEP_LEVEL * math.sin(2 * math.pi * BEEP_HZ * n / RATE)) if n < BEEP_SECONDS * RATE else 0 for n in range(RATE)
        ]
        self._second = array.array("h", beep).tobytes()
        return "test beep"

    def chunks(self) -> Iterator[Chunk]:
        number = time.monotonic_ns() // CHUNK_NS
        while True:
            sleep_until((number + 1) * CHUNK_NS)  # a microphone too has sound when it is over
            frame = av.AudioFrame(format="s16", layout="mono", samples=RATE // 50)
            size = RATE // 50 * 2
            begin = number % 50 * size
            frame.planes[0].update(self._second[begin : begin + size])
            frame.sample_rate = RATE
            yield Chunk(frame, number * CHUNK_NS)
            number = max(number + 1, (time.monotonic_ns() - CHUNK_NS) // CHUNK_NS)


class Microphone:
    """An ALSA capture device by its name: default, plughw:1,0, hw:CARD=C920."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._container: av.container.InputContainer | None = None

    def open(self) -> str:
        require_alsa("microphone")
        for channels in (1, 2):  # hw: devices give what they have
            try:
                options = {"sample_rate": str(RATE), "channels": str(channels)}
                self._container = av.open(self._device, format="alsa", options=options)
                break
            except (OSError, av.FFmpegError) as error:
                if channels == 2 or error.errno not in {errno.EINVAL, errno.EIO}:
                    raise broken("microphone", self._device, "open", error) from error
        assert self._container is not None
        context = self._container.streams.audio[0].codec_context
        return f"ALSA {self._device} ({context.sample_rate} Hz, {context.layout.name})"

    def chunks(self) -> Iterator[Chunk]:
        assert self._container is not None
        try:
            for packet in self._container.demux(audio=0):
                if not packet.size:
                    continue
                captured_ns = _captured_ns(packet)
                for frame in packet.decode():
                    yield Chunk(frame, captured_ns)
        except (OSError, av.FFmpegError) as error:
            self._container.close()
            raise broken("microphone", self._device, "read", error) from error


def _captured_ns(packet: av.Packet[av.AudioStream]) -> int:
    """FFmpeg tells the wall clock of the first sample, from what ALSA says of its buffer."""
    if packet.pts is None or packet.time_base is None:
        return time.monotonic_ns()
    return wall_time(round(packet.pts * packet.time_base * 1_000_000_000), time.monotonic_ns())


def sound_source(device: str) -> SoundSource:
    """`test` is the beep."""
    return Beep() if device == "test" else Microphone(device)
