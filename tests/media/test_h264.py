"""Annex B by hand-made bytes and by a real encoder."""

from __future__ import annotations

from fractions import Fraction

import av
import pytest

from edgecam.media import h264

SPS = b"\x67\x42\xc0\x1f\xda\x01"
PPS = b"\x68\xce\x3c"
IDR = b"\x65\x88\x84\x01"
DELTA = b"\x41\x9a\x02"


def stream(*units: bytes, code: bytes = b"\x00\x00\x00\x01") -> bytes:
    return b"".join(code + unit for unit in units)


@pytest.mark.parametrize("code", [b"\x00\x00\x01", b"\x00\x00\x00\x01"])
def test_units_are_found_behind_short_and_long_start_codes(code: bytes) -> None:
    assert list(h264.nal_units(stream(SPS, PPS, IDR, code=code))) == [SPS, PPS, IDR]


def test_trailing_zeros_and_garbage_in_front_are_no_part_of_a_unit() -> None:
    assert list(h264.nal_units(b"\x12\x34" + stream(SPS, IDR) + b"\x00\x00\x00")) == [SPS, IDR]


def test_nothing_is_found_in_bytes_without_a_start_code() -> None:
    assert list(h264.nal_units(b"")) == []
    assert list(h264.nal_units(b"\x00\x00")) == []
    assert list(h264.nal_units(b"hello")) == []


def test_the_profile_level_id_is_three_bytes_of_the_sps() -> None:
    assert h264.profile_level_id(SPS) == "42c01f"


@pytest.mark.parametrize("broken", [b"", b"\x67\x42", PPS])
def test_what_is_no_sps_has_no_profile(broken: bytes) -> None:
    with pytest.raises(ValueError, match="sequence parameter set"):
        h264.profile_level_id(broken)


def test_a_keyframe_is_one_with_an_idr_slice() -> None:
    assert h264.is_keyframe(stream(SPS, PPS, IDR))
    assert not h264.is_keyframe(stream(DELTA))
    assert not h264.is_keyframe(stream(SPS, PPS))


def test_slices_are_counted_and_other_units_are_not() -> None:
    assert h264.count_slices(stream(SPS, PPS, IDR)) == 1
    assert h264.count_slices(stream(DELTA, DELTA, DELTA)) == 3
    assert h264.count_slices(stream(SPS, PPS)) == 0


def test_parameter_sets_are_cut_out_with_start_codes() -> None:
    assert h264.parameter_sets(stream(SPS, PPS, IDR, code=b"\x00\x00\x01")) == stream(SPS, PPS)
    assert h264.parameter_sets(stream(DELTA)) == b""


def test_a_real_encoders_keyframe_is_understood() -> None:
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 320, 240, "yuv420p"
    encoder.time_base = Fraction(1, 30)
    encoder.thread_count = 1
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "sliced-threads=0:slices=2"}
    (packet,) = encoder.encode(av.VideoFrame(320, 240, "yuv420p"))
    unit = bytes(packet)
    assert h264.is_keyframe(unit)
    assert h264.count_slices(unit) == 2
    sps = h264.find_nal(unit, h264.SPS)
    assert sps is not None
    assert h264.profile_level_id(sps).startswith("42c0")
