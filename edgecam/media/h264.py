"""H.264 Annex B byte streams (ITU-T H.264 annex B), as pure functions."""

from __future__ import annotations

from collections.abc import Iterator

# nal_unit_type, ITU-T H.264 table 7-1
SLICE = 1
IDR_SLICE = 5
SEI = 6
SPS = 7
PPS = 8

START_CODE = b"\x00\x00\x00\x01"


def nal_spans(data: bytes) -> Iterator[tuple[int, int]]:
    """(begin, end) of every NAL unit in an Annex B stream, start codes and trailing zeros left out.

    Bytes before the first start code are ignored.
    """
    found = data.find(b"\x00\x00\x01")
    while found >= 0:
        begin = found + 3
        found = data.find(b"\x00\x00\x01", begin)
        end = found if found >= 0 else len(data)
        while end > begin and data[end - 1] == 0:  # zero_byte of the next start code, trailing_zero_8bits
            end -= 1
        if end > begin:
            yield begin, end


def nal_units(data: bytes) -> Iterator[bytes]:
    """Every NAL unit of an Annex B stream, without start codes."""
    for begin, end in nal_spans(data):
        yield data[begin:end]


def nal_types(data: bytes) -> list[int]:
    """nal_unit_type of every NAL unit, in order."""
    return [data[begin] & 0x1F for begin, _end in nal_spans(data)]


def find_nal(data: bytes, nal_type: int) -> bytes | None:
    """The first NAL unit of that type, or None."""
    for begin, end in nal_spans(data):
        if data[begin] & 0x1F == nal_type:
            return data[begin:end]
    return None


def profile_level_id(sps: bytes) -> str:
    """profile_idc, constraint flags and level_idc of an SPS NAL unit, in hex: RFC 6184 section 8.1.

    Raises ValueError when it is not an SPS.
    """
    if len(sps) < 4 or sps[0] & 0x1F != SPS:
        raise ValueError("not a sequence parameter set")
    return sps[1:4].hex()


def is_keyframe(data: bytes) -> bool:
    """Whether an access unit is an IDR picture: decoding may begin at it."""
    return IDR_SLICE in nal_types(data)


def is_bidirectional(data: bytes) -> bool:
    """Whether an access unit is a B picture, by the slice_type of its first slice: section 7.3.3, table 7-6."""
    for begin, _end in nal_spans(data):
        if data[begin] & 0x1F == SLICE:
            # first_mb_in_slice is 0, one bit; B is 1 (010) or 6 (00111), Exp-Golomb.
            bits = data[begin + 1] << 8 | data[begin + 2] if len(data) > begin + 2 else 0
            return bits >> 12 == 0b1010 or bits >> 10 == 0b100111
    return False


def count_slices(data: bytes) -> int:
    """How many slices the pictures in `data` have; 1 for an access unit as edgecam makes them."""
    return sum(nal_type in (SLICE, IDR_SLICE) for nal_type in nal_types(data))


def parameter_sets(data: bytes) -> bytes:
    """SPS and PPS of a stream (an access unit, an encoder's extradata) with start codes; empty when there are none."""
    return b"".join(START_CODE + data[begin:end] for begin, end in nal_spans(data) if data[begin] & 0x1F in (SPS, PPS))
