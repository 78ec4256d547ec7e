"""RTP payloads of access units: what goes in comes out again, in packets of one size."""

from __future__ import annotations

import random

import pytest
from aiortc.codecs.h264 import H264PayloadDescriptor

from edgecam.media.h264 import START_CODE, nal_units
from edgecam.media.packetize import MAX_PAYLOAD, packetize


def nal(nal_type: int, size: int, *, importance: int = 3) -> bytes:
    """A NAL unit of `size` bytes without anything that looks like a start code."""
    return bytes([importance << 5 | nal_type]) + random.Random(size).randbytes(size - 1).replace(b"\0", b"\1")


def annex_b(*units: bytes) -> bytes:
    return b"".join(START_CODE + unit for unit in units)


def unpacked(data: bytes) -> bytes:
    """The access unit as aiortc's depacketiser sees it."""
    return b"".join(H264PayloadDescriptor.parse(payload.of(data))[1] for payload in packetize(data))


SPS, PPS, SEI = nal(7, 24), nal(8, 4), nal(6, 30, importance=0)


@pytest.mark.parametrize("size", [2, 50, 400, 401, 1133, 1134, 1135, 1136, 2264, 2265, 2266, 8333, 60_000, 250_000])
def test_a_slice_of_any_size_arrives_as_it_was(size: int) -> None:
    for units in ((nal(1, size),), (SPS, PPS, SEI, nal(5, size))):
        data = annex_b(*units)
        assert list(nal_units(unpacked(data))) == list(units)
        assert all(0 < payload.octets <= MAX_PAYLOAD for payload in packetize(data))


@pytest.mark.parametrize("size", [1135, 2300, 8333, 60_001])
def test_fragments_are_of_one_size_but_for_the_last(size: int) -> None:
    *equal, last = [payload.octets for payload in packetize(annex_b(nal(1, size)))]
    assert len(set(equal)) == 1
    assert equal[0] - len(equal) - 1 <= last <= equal[0], "evenly split"


def test_parameter_sets_share_a_packet() -> None:
    payloads = packetize(annex_b(SPS, PPS, SEI, nal(5, 5000)))
    assert [payload.of(b"")[0] & 0x1F for payload in payloads[:1]] == [24], "STAP-A, RFC 6184 section 5.7.1"
    assert payloads[0].prefix[0] & 0x60 == 0x60, "as important as the most important in it"
    assert len(payloads) == 1 + -(-4999 // (MAX_PAYLOAD - 2))


def test_many_small_units_are_aggregated_within_the_limit_and_in_order() -> None:
    units = [nal(1, size) for size in (399, 400, 398, 397, 20, 2000, 30, 31)]
    data = annex_b(*units)
    assert list(nal_units(unpacked(data))) == units
    assert max(payload.octets for payload in packetize(data)) <= MAX_PAYLOAD


def test_delimiters_and_filler_are_left_out() -> None:
    delimiter, filler = b"\x09\xf0", nal(12, 300)
    assert list(nal_units(unpacked(annex_b(delimiter, SPS, PPS, nal(5, 900), filler)))) == [SPS, PPS, nal(5, 900)]
    assert packetize(annex_b(delimiter)) == []


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0\1", b"not annex b"])
def test_what_is_no_access_unit_makes_no_packets(data: bytes) -> None:
    assert packetize(data) == []


def test_three_byte_start_codes_are_understood() -> None:
    data = b"\0\0\1" + SPS + b"\0\0\1" + PPS + b"\0\0\0\1" + nal(5, 3000)
    assert list(nal_units(unpacked(data))) == [SPS, PPS, nal(5, 3000)]


