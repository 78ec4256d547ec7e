"""What findings mean together, and what single ones say, where no network is needed."""

from __future__ import annotations

from fractions import Fraction

import av
import pytest

from edgecam.doctor.camera import encoder_finding
from edgecam.doctor.clock import Clock, clock_finding, compared
from edgecam.doctor.findings import Finding, ok, problem, verdict
from edgecam.media.h264 import SPS, find_nal, profile_level_id


def real_profile_level_id(pixel_format: str) -> str:
    """Of a stream that libx264 really makes: High for 4:2:0, High 4:2:2, High 4:4:4."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 320, 240, pixel_format
    encoder.time_base = Fraction(1, 30)
    encoder.options = {"tune": "zerolatency"}
    frame = av.VideoFrame(320, 240, pixel_format)
    frame.pts = 0
    data = b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
    sps = find_nal(data, SPS)
    assert sps is not None
    return profile_level_id(sps)


@pytest.mark.parametrize(
    ("pixel_format", "code"),
    [("yuv420p", ""), ("yuv422p", "codec-mismatch"), ("yuv444p", "codec-mismatch")],
)
def test_a_stream_that_browsers_cannot_decode_is_told(pixel_format: str, code: str) -> None:
    found = encoder_finding("front", "libx264", real_profile_level_id(pixel_format), 3.0, 30)
    assert found.code == code


def test_an_encoder_that_needs_longer_than_a_frame_lasts_is_slow() -> None:
    assert encoder_finding("front", "libx264", "42c01f", 34.0, 30).code == "encoder-slow"
    assert encoder_finding("front", "libx264", "42c01f", 33.0, 30).code == ""


def wrong(code: str) -> Finding:
    return problem("step", "subject", "detail", code=code, remedy="remedy")


def test_the_verdict_is_the_cause_and_not_what_follows_from_it() -> None:
    assert verdict([ok("camera", "front", "fine")]) is None
    for cause, *consequences in [
        ("udp-blocked", "stun-silent", "turn-unreachable"),
        ("clock-wrong", "signaling-tls", "turn-401"),
        ("turn-401", "nat-symmetric"),
        ("credentials-unreachable", "nat-symmetric"),
        ("camera-absent", "signaling-dns"),
        ("encoder-failed", "stun-silent"),
    ]:
        found = verdict([*map(wrong, consequences), wrong(cause)])
        assert found is not None
        assert found.code == cause


def test_of_several_clocks_the_one_that_agrees_with_ours_counts() -> None:
    good = compared("good.example", "Thu, 01 Jan 1970 00:00:00 GMT")
    assert good is not None
    assert good.ahead > 1e9
    assert compared("bad.example", "yesterday") is None
    clock = Clock.of([good, None])
    assert clock.wrong
    assert abs(clock.true_time(good.ahead)) < 2
    assert "years fast" in clock_finding(clock).detail
    assert clock_finding(Clock()).code == ""
