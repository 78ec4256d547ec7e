"""The real encoder: what comes out is what RTP and every browser need."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import av
import pytest

from edgecam.capture.candidates import CANDIDATES, VBV_SECONDS, EncoderSpec
from edgecam.capture.encoder import Encoded, H264Encoder, choose, open_lower
from edgecam.errors import CaptureError
from edgecam.media import h264
from edgecam.media.ladder import Rung, rungs
from tests.capture.watching import decode
from tests.harness.footage import busy_footage

SPEC = EncoderSpec(width=640, height=480, fps=30, bitrate_bps=1_500_000, keyframe_interval=10)


def busy_pictures(width: int, height: int, seed: int = 0) -> Iterator[av.VideoFrame]:
    """Pictures that keep an encoder at its bitrate: moving texture with noise in it, for ever."""
    rng = random.Random(seed)
    texture = bytes(min(235, max(16, 128 + int(rng.gauss(0, 24)))) for _ in range(1 << 16))
    frames = [av.VideoFrame(width, height, "yuv420p") for _ in range(4)]
    number = 0
    while True:
        frame = frames[number % len(frames)]
        for plane in frame.planes:
            view, stride = memoryview(plane), plane.line_size
            for y in range(plane.height):
                offset = (y // 4 * 311 + number * 3 + rng.randint(0, 2)) % (len(texture) - stride)
                view[y * stride : (y + 1) * stride] = texture[offset : offset + stride]
        yield frame
        number += 1


def encode(encoder: H264Encoder, count: int, keyframes: set[int] | None = None, start: int = 0) -> list[Encoded]:
    pictures = busy_pictures(640, 480)
    units = []
    for number in range(start, start + count):
        units += encoder.encode(next(pictures), 10**12 + number * 33_333_333, number in (keyframes or ()))
    return units


def chosen(spec: EncoderSpec = SPEC) -> H264Encoder:
    return choose(spec, "libx264", {}, lambda _name: None).encoder


def test_every_picture_comes_out_at_once_as_one_slice_and_decodes() -> None:
    units = encode(chosen(), 60, {20, 40})
    assert len(units) == 60
    assert all(h264.count_slices(unit.data) == 1 for unit in units)
    assert len(decode(unit.data for unit in units)) == 60


def test_every_keyframe_is_an_idr_with_its_parameter_sets_in_front() -> None:
    units = encode(chosen(), 60, {20, 40})
    keyframes = [number for number, unit in enumerate(units) if unit.keyframe]
    assert keyframes == [0, 20, 40]
    for number in keyframes:
        types = [kind for kind in h264.nal_types(units[number].data) if kind != h264.SEI]
        assert types == [h264.SPS, h264.PPS, h264.IDR_SLICE]


def test_keyframes_come_at_the_interval_when_nobody_asks() -> None:
    spec = EncoderSpec(width=640, height=480, fps=30, bitrate_bps=1_500_000, keyframe_interval=0.5)
    units = encode(chosen(spec), 46)
    assert [number for number, unit in enumerate(units) if unit.keyframe] == [0, 15, 30, 45]


def test_each_unit_keeps_the_time_its_picture_was_captured() -> None:
    units = encode(chosen(), 5)
    assert [unit.captured_ns for unit in units] == [10**12 + number * 33_333_333 for number in range(5)]


def test_a_camera_clock_that_stands_still_or_runs_back_does_not_stop_the_encoder() -> None:
    encoder, picture = chosen(), next(busy_pictures(640, 480))
    times = [10**12, 10**12, 10**12 - 5 * 10**9, 10**12 + 33_333_333]
    assert sum(len(encoder.encode(picture, time_ns, False)) for time_ns in times) == len(times)


def rate_bps(units: list[Encoded]) -> float:
    return sum(len(unit.data) for unit in units) * 8 / (len(units) / SPEC.fps)


def test_the_bitrate_follows_in_place_down_and_up_again() -> None:
    encoder = chosen(replace(SPEC, keyframe_interval=100))
    high = rate_bps(encode(encoder, 90)[30:])
    encoder.set_bitrate(400_000)
    low_units = encode(encoder, 120, start=90)
    encoder.set_bitrate(1_500_000)
    again_units = encode(encoder, 120, start=210)
    assert high == pytest.approx(1_500_000, rel=0.25)
    assert rate_bps(low_units[60:]) == pytest.approx(400_000, rel=0.35)
    assert rate_bps(again_units[60:]) == pytest.approx(1_500_000, rel=0.25)
    assert not any(unit.keyframe for unit in low_units + again_units)


def test_a_keyframe_never_exceeds_what_the_link_carries_in_a_moment() -> None:
    encoder = chosen()
    encode(encoder, 30)
    units = encode(encoder, 60, {40, 70}, start=30)
    largest = max(len(unit.data) for unit in units if unit.keyframe)
    assert largest * 8 <= 0.35 * SPEC.bitrate_bps


@pytest.mark.parametrize(
    "rung", rungs(1280, 720, 30, 2_000_000, None, 3), ids=lambda rung: f"{rung.width}x{rung.height}"
)
def test_no_rendition_has_a_keyframe_of_busy_footage_beyond_its_bound(rung: Rung) -> None:
    with av.open(str(busy_footage())) as film:
        pictures = list(islice(film.decode(video=0), 240))
    for target_bps in (rung.ceiling_bps, rung.floor_bps):
        (encoder,) = open_lower([EncoderSpec(rung.width, rung.height, 30, rung.ceiling_bps, 100)])
        encoder.set_bitrate(target_bps)
        largest = 0
        for number, picture in enumerate(pictures):
            for unit in encoder.encode(picture, 10**12 + number * 33_333_333, number in {60, 120, 150, 160, 170, 239}):
                largest = max(largest, len(unit.data) if unit.keyframe and number else 0)
        assert 0 < largest <= rung.ceiling_bps * VBV_SECONDS / 8
        assert largest <= 0.4 * target_bps / 8  # bytes: also at the floor no more than the link carries in 0.4 s


def test_another_ceiling_holds_from_the_next_picture_on_for_bits_and_keyframes() -> None:
    encoder, pictures = chosen(SPEC), busy_pictures(640, 480)
    units: list[Encoded] = []
    profile = encoder.profile_level_id()
    for step, ceiling_bps in enumerate((3_000_000, 500_000, 20_000_000)):  # the last is more than its level allows
        encoder.set_bitrate(ceiling_bps, ceiling_bps=ceiling_bps)
        fresh: list[Encoded] = []
        for number in range(60 * step, 60 * (step + 1)):
            fresh += encoder.encode(next(pictures), 10**12 + number * 33_333_333, keyframe=False)
        assert [unit.keyframe for unit in fresh] == [True] + 59 * [False]
        assert len(fresh[0].data) <= 1.1 * ceiling_bps * VBV_SECONDS / 8
        assert sum(len(unit.data) for unit in fresh) * 8 / 2 == pytest.approx(ceiling_bps, rel=0.15)
        assert encoder.profile_level_id() == profile, "viewers were promised it"
        encoder.set_bitrate(ceiling_bps, ceiling_bps=ceiling_bps)  # the same again: no keyframe
        units += fresh
    assert len(decode(unit.data for unit in units)) == len(units) == 180
    assert [unit.captured_ns for unit in units] == [10**12 + n * 33_333_333 for n in range(180)]


def test_the_profile_is_read_from_what_the_encoder_made() -> None:
    choice = choose(SPEC, "libx264", {}, lambda _name: None)
    (unit,) = encode(choice.encoder, 1)
    sps = h264.find_nal(unit.data, h264.SPS)
    assert sps is not None
    assert choice.profile_level_id == h264.profile_level_id(sps)
    assert choice.profile_level_id.startswith("42c0")


def test_auto_says_why_it_took_what_it_took() -> None:
    tried: list[str] = []
    choice = choose(SPEC, "auto", {}, tried.append)
    built_in = [name for name in CANDIDATES if name in av.codecs_available]
    assert tried == built_in  # hardware before software
    assert built_in[-1] == "libx264"
    assert choice.encoder.name == "libx264"
    assert choice.reason.startswith("h264_v4l2m2m: ")
    assert choice.reason.endswith("; libx264 encodes")


def test_an_encoder_that_hung_before_is_left_out_and_that_is_said() -> None:
    tried: list[str] = []
    choice = choose(SPEC, "auto", {"h264_v4l2m2m": "it hung"}, tried.append)
    assert "h264_v4l2m2m" not in tried
    assert tried[-1] == "libx264"
    assert choice.reason.startswith("h264_v4l2m2m: left out (it hung); ")
    assert choice.reason.endswith("; libx264 encodes")


def test_no_encoder_at_all_is_an_error_that_lists_what_was_tried() -> None:
    with pytest.raises(CaptureError, match="h264_v4l2m2m: ") as caught:
        choose(SPEC, "h264_v4l2m2m", {}, lambda _name: None)
    assert caught.value.code == "encoder-failed"
    assert "libx264" in caught.value.remedy


def flat(pixel_format: str, luma: int) -> av.VideoFrame:
    frame = av.VideoFrame(320, 240, pixel_format)
    for number, plane in enumerate(frame.planes):
        plane.update(bytes([luma if number == 0 else 128]) * plane.buffer_size)
    return frame


@pytest.mark.parametrize(("full_range", "video_range"), [(0, 16), (128, 126), (255, 235)])
def test_full_range_jpeg_pictures_become_video_range(full_range: int, video_range: int) -> None:
    encoder = chosen()
    (unit,) = encoder.encode(flat("yuvj422p", full_range), 10**12, True)
    (picture,) = decode([unit.data])
    assert (picture.width, picture.height) == (640, 480)
    assert memoryview(picture.planes[0])[1000] == pytest.approx(video_range, abs=2)
