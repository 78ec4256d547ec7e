"""Sound as Opus packets of 20 ms, each with the time at which it was heard."""

from __future__ import annotations

from dataclasses import dataclass

import av

from edgecam.capture.arrivals import ArrivalClock
from edgecam.capture.sound import RATE, Chunk

PACKET_SAMPLES = 960
PACKET_NS = PACKET_SAMPLES * 1_000_000_000 // RATE
# What comes out of a decoder lags by that much behind what went into the encoder.
LOOKAHEAD_NS = 312 * 1_000_000_000 // RATE
# More sound than that was lost: the gap is shown, instead of playing what follows early for ever.
GAP_SAMPLES = RATE // 10


@dataclass(frozen=True, slots=True)
class OpusPacket:
    """`timestamp` counts samples (48 kHz), not wrapped, and goes on evenly; `captured_ns` is when the first of them was
    heard, CLOCK_MONOTONIC: the two clocks drift apart, which sender reports tell (RFC 3550 section 6.4.1)."""

    data: bytes
    timestamp: int
    captured_ns: int


class OpusEncoder:
    """Chunks of any rate and format in, packets out."""

    def __init__(self, bitrate_bps: int) -> None:
        context = av.CodecContext.create("libopus", "w")
        assert isinstance(context, av.AudioCodecContext)
        context.sample_rate = RATE
        context.layout = "mono"
        context.format = "s16"
        context.bit_rate = bitrate_bps
        # In-band FEC mends single lost packets (RFC 7587 section 3.3); nothing is sent again.
        context.options = {"frame_duration": "20", "application": "audio", "fec": "1", "packet_loss": "5", "vbr": "constrained"}
        context.open()
        self._context = context
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE, frame_size=PACKET_SAMPLES)
        self._clock = ArrivalClock()
        self._heard = 0  # samples in, at their own rate
        self._packets = 0
        self._timestamp = -1

    def encode(self, chunk: Chunk) -> list[OpusPacket]:
        """What is complete now."""
        frame = chunk.frame
        begun_ns = self._heard * 1_000_000_000 // frame.sample_rate
        offset_ns = self._clock.captured_ns(begun_ns, chunk.captured_ns) - begun_ns
        self._heard += frame.samples
        frame.pts = None  # the resampler counts by itself
        packets = []
        for piece in self._resampler.resample(frame):
            piece.pts = self._packets * PACKET_SAMPLES
            for packet in self._context.encode(piece):
                captured_ns = self._packets * PACKET_NS + offset_ns - LOOKAHEAD_NS
                packets.append(OpusPacket(bytes(packet), self._next_timestamp(captured_ns), captured_ns))
            self._packets += 1
        return packets

    def _next_timestamp(self, captured_ns: int) -> int:
        true = captured_ns * RATE // 1_000_000_000
        following = self._timestamp + PACKET_SAMPLES
        self._timestamp = following if self._timestamp >= 0 and abs(true - following) < GAP_SAMPLES else max(true, following)
        return self._timestamp
