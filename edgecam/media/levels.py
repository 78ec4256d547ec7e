"""H.264 levels (ITU-T H.264 Table A-1), to promise the right profile-level-id before the first SPS exists."""

from __future__ import annotations

from math import ceil

# (level_idc, macroblocks per second, macroblocks per frame)
_LEVELS = (
    (10, 1485, 99),
    (11, 3000, 396),
    (12, 6000, 396),
    (13, 11880, 396),
    (20, 11880, 396),
    (21, 19800, 792),
    (22, 20250, 1620),
    (30, 40500, 1620),
    (31, 108000, 3600),
    (32, 216000, 5120),
    (40, 245760, 8192),
    (42, 522240, 8704),
    (50, 589824, 22080),
    (51, 983040, 36864),
    (52, 2073600, 36864),
)


def expected_profile_level_id(width: int, height: int, fps: float) -> str:
    """Six hex digits (RFC 6184 section 8.1) of a constrained-baseline stream of that size in pixels and rate."""
    frame = ceil(width / 16) * ceil(height / 16)
    for level, per_second, per_frame in _LEVELS:
        if frame <= per_frame and frame * fps <= per_second:
            return f"42c0{level:02x}"
    return f"42c0{_LEVELS[-1][0]:02x}"
