"""What a storm of keyframe requests, one let through every 300 ms, makes of a busy picture at 2 Mbit/s in the real encoder."""

from __future__ import annotations

from edgecam.capture.candidates import VBV_SECONDS, EncoderSpec
from edgecam.capture.encoder import Encoded, choose
from edgecam.media.keyframes import MIN_INTERVAL
from tests.capture.test_encoder import busy_pictures

SPEC = EncoderSpec(width=1280, height=720, fps=30, bitrate_bps=2_000_000, keyframe_interval=10)
LARGEST = 1.1 * SPEC.bitrate_bps / 8 * VBV_SECONDS  # bytes: 82,500, of which pacing makes some 20 ms
SECONDS = 4


def test_keyframes_stay_small_and_the_bitrate_is_kept_however_often_they_are_asked_for() -> None:
    encoder = choose(SPEC, "libx264", {}, lambda _name: None).encoder
    pictures = busy_pictures(SPEC.width, SPEC.height)
    every = round(MIN_INTERVAL * SPEC.fps)
    units: list[Encoded] = []
    for number in range(SECONDS * 30):
        units += encoder.encode(next(pictures), 10**12 + number * 33_333_333, keyframe=number % every == 0)
    keyframes = [len(unit.data) for unit in units if unit.keyframe]
    assert len(keyframes) >= SECONDS / MIN_INTERVAL - 1
    assert max(keyframes) <= LARGEST
    assert sum(len(unit.data) for unit in units) * 8 / SECONDS <= 1.3 * SPEC.bitrate_bps
