"""The bytes of our header extensions, as RFC 8285 and aiortc read them."""

from __future__ import annotations

import time
from dataclasses import astuple

import pytest
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import HeaderExtensionsMap, unpack_header_extensions

from edgecam.media.wallclock import WallClock
from edgecam.rtc import extensions
from edgecam.rtc.extensions import ExtensionBlock, ExtensionIds, PlayoutDelay

IDS = ExtensionIds(mid=9, abs_send_time=2, playout_delay=5, abs_capture_time=14)


def elements(block: ExtensionBlock) -> dict[int, bytes]:
    assert len(block.data) % 4 == 0
    assert int.from_bytes(block.data[2:4], "big") * 4 == len(block.data) - 4
    return dict(unpack_header_extensions(int.from_bytes(block.data[:2], "big"), block.data[4:]))


def test_a_plain_block_carries_the_send_time_where_it_says() -> None:
    block = extensions.plain_block(IDS)
    data = bytearray(block.data)
    assert block.send_time_at is not None
    data[block.send_time_at : block.send_time_at + 3] = extensions.send_time(0x0123_4567_89AB_CDEF)
    assert elements(ExtensionBlock(bytes(data), None, None)) == {2: (0x0123_4567_89AB_CDEF >> 14 & 0xFFFFFF).to_bytes(3, "big")}
    assert len(data) == 8


def test_a_full_block_carries_everything_that_was_negotiated() -> None:
    block = extensions.full_block(IDS, "0", PlayoutDelay(0, 300))
    data = bytearray(block.data)
    assert block.capture_time_at is not None
    extensions.CAPTURE_TIME.pack_into(data, block.capture_time_at, 0x0123_4567_89AB_CDEF)
    found = elements(ExtensionBlock(bytes(data), None, None))
    assert found == {
        2: bytes(3),
        5: bytes([0, 0, 30]),
        9: b"0",
        14: bytes.fromhex("0123456789abcdef") + bytes(8),
    }
    assert len(data) == 32
    assert block.send_time_at == extensions.plain_block(IDS).send_time_at


@pytest.mark.parametrize("missing", ["mid", "abs_send_time", "playout_delay", "abs_capture_time"])
def test_what_was_not_negotiated_is_left_out(missing: str) -> None:
    names = ("mid", "abs_send_time", "playout_delay", "abs_capture_time")
    some = {name: number for name, number in zip(names, astuple(IDS), strict=True) if name != missing}
    found = elements(extensions.full_block(ExtensionIds(**some), "0", PlayoutDelay(0, 0)))
    assert set(found) == set(some.values())


def test_nothing_negotiated_is_no_block_at_all() -> None:
    assert extensions.full_block(ExtensionIds(), "0", PlayoutDelay(0, 0)) == ExtensionBlock(b"", None, None)
    assert extensions.plain_block(ExtensionIds()).data == b""


def test_a_playout_delay_that_is_too_long_is_the_longest_there_is() -> None:
    assert bytes(PlayoutDelay(100, 10**9)) == bytes([0x00, 0xAF, 0xFF])


def test_aiortc_reads_our_blocks_and_passes_over_what_it_does_not_know() -> None:
    negotiated = [
        RTCRtpHeaderExtensionParameters(id=number, uri=uri)
        for number, uri in zip(
            astuple(IDS),
            (extensions.MID, extensions.ABS_SEND_TIME, extensions.PLAYOUT_DELAY, extensions.ABS_CAPTURE_TIME),
            strict=True,
        )
    ]
    assert ExtensionIds.of(negotiated) == IDS
    known = HeaderExtensionsMap()
    known.configure(RTCRtpParameters(headerExtensions=negotiated))
    block = extensions.full_block(IDS, "video-0", PlayoutDelay(0, 0))
    values = known.get(int.from_bytes(block.data[:2], "big"), block.data[4:])
    assert (values.mid, values.abs_send_time) == ("video-0", 0)


def test_ids_beyond_one_byte_headers_are_not_used() -> None:
    assert ExtensionIds.of([RTCRtpHeaderExtensionParameters(id=15, uri=extensions.PLAYOUT_DELAY)]) == ExtensionIds()


def test_capture_times_are_the_wall_clock() -> None:
    ntp = WallClock.read().ntp(time.monotonic_ns())
    assert (ntp >> 32) + (ntp & 0xFFFFFFFF) / 2**32 - 2_208_988_800 == pytest.approx(time.time(), abs=0.05)
