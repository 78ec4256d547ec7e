"""Levels promised before the first SPS exists agree with what x264 writes."""

from __future__ import annotations

from fractions import Fraction

import av
import pytest

from edgecam.media.h264 import SPS, find_nal, profile_level_id
from edgecam.media.levels import expected_profile_level_id


@pytest.mark.parametrize(("width", "height", "fps"), [(640, 480, 15), (1280, 720, 24), (1280, 720, 30), (1920, 1080, 30)])
def test_the_promised_level_is_not_below_the_real_one(width: int, height: int, fps: int) -> None:
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base = Fraction(1, fps)
    encoder.framerate = Fraction(fps)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "repeat-headers=1"}
    packets = encoder.encode(av.VideoFrame(width, height, "yuv420p"))
    sps = find_nal(bytes(packets[0]), SPS)
    assert sps is not None
    real = profile_level_id(sps)
    promised = expected_profile_level_id(width, height, fps)
    assert promised[:4] == real[:4] == "42c0"
    assert int(promised[4:], 16) >= int(real[4:], 16)
