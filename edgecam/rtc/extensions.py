"""RTP header extensions (RFC 8285): which ones are negotiated, and their bytes in our packets.

A packet's block is one of two, so that every packet of an access unit has a header of the same length and a unit goes
out in one GSO run:

* `plain`: abs-send-time only, 8 bytes. Most units.
* `full`: also playout-delay, absolute capture time and mid, 32 bytes at most. Keyframes, and about one unit a second:
  browsers keep the playout delay that they saw last, and extrapolate capture times for 5 s.

Fields that differ from unit to unit stand at fixed offsets, to be patched in a template: `PATCH`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct
from typing import Protocol

from edgecam.rtc import aiortc_private

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"  # RFC 9143
ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
ABS_CAPTURE_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"

# aiortc itself negotiates mid as 1 and abs-send-time as 3; ids are shared with audio, which has 2.
OFFERED = ((5, PLAYOUT_DELAY), (6, ABS_CAPTURE_TIME))
# Keyframe requests as every browser can make them (RFC 5104 section 7.1), beside aiortc's nack, pli and goog-remb.
FEEDBACK = (("ccm", "fir"),)

DESCRIBE_EVERY_NS = 1_000_000_000  # between full blocks; WebRTC's own sender describes as often
PLAYOUT_STEP_MS = 10
SOUND_LATER_MS = 500  # Chromium shows pictures at once where that is the most
PLAYOUT_LIMIT_MS = 0xFFF * PLAYOUT_STEP_MS

SEND_TIME = Struct("!BH")  # 24 bits, 6.18 seconds
CAPTURE_TIME = Struct("!Q")  # 64 bits, NTP

_PROFILE = b"\xbe\xde"  # one-byte headers, RFC 8285 section 4.2


def register() -> None:
    """Have aiortc offer, and accept when offered, what its own tables lack. For the whole process; idempotent."""
    aiortc_private.extend_video_negotiation(OFFERED, FEEDBACK)


class NegotiatedExtension(Protocol):
    """aiortc's RTCRtpHeaderExtensionParameters."""

    id: int
    uri: str


@dataclass(frozen=True, slots=True)
class ExtensionIds:
    """The ids a viewer agreed to; 0 means not negotiated. Hashable: part of what makes a class of viewers."""

    mid: int = 0
    abs_send_time: int = 0
    playout_delay: int = 0
    abs_capture_time: int = 0

    @classmethod
    def of(cls, extensions: Iterable[NegotiatedExtension]) -> ExtensionIds:
        """From RTCRtpSendParameters.headerExtensions. Ids that need two-byte headers are left unused."""
        ids = {extension.uri: extension.id for extension in extensions if 1 <= extension.id <= 14}
        return cls(ids.get(MID, 0), ids.get(ABS_SEND_TIME, 0), ids.get(PLAYOUT_DELAY, 0), ids.get(ABS_CAPTURE_TIME, 0))


@dataclass(frozen=True, slots=True)
class PlayoutDelay:
    """How long a player shall hold pictures back, milliseconds. Steps of 10, at most 40950. 0 and 0: show at once."""

    min_ms: int
    max_ms: int

    @classmethod
    def configured(cls, playout_delay_ms: int) -> PlayoutDelay | None:
        """From `[camera.NAME] playout_delay_ms`; None when that leaves it to the player."""
        return cls(playout_delay_ms, playout_delay_ms) if playout_delay_ms >= 0 else None

    def with_sound(self) -> PlayoutDelay:
        """Sound cannot be played the moment it comes: a player that is to keep pictures in step has to be let hold them back."""
        return PlayoutDelay(self.min_ms, max(self.max_ms, SOUND_LATER_MS))

    def __bytes__(self) -> bytes:
        low, high = (min(ms, PLAYOUT_LIMIT_MS) // PLAYOUT_STEP_MS for ms in (self.min_ms, self.max_ms))
        return (low << 12 | high).to_bytes(3, "big")


@dataclass(frozen=True, slots=True)
class ExtensionBlock:
    """What stands between the fixed RTP header (with its CSRCs) and the payload; its length is a multiple of four.

    Empty when nothing was negotiated: the header's X bit must then be 0. The offsets count from the block's first
    byte, None when the field is not there: `SEND_TIME` and `CAPTURE_TIME` pack what belongs there.
    """

    data: bytes
    send_time_at: int | None
    capture_time_at: int | None


def plain_block(ids: ExtensionIds) -> ExtensionBlock:
    """For most units."""
    return _block([(ids.abs_send_time, bytes(3))], ids)


def sendable_mid(mid: str) -> str:
    """The name as far as an element can carry it: empty when it is longer, for the peer chooses it."""
    return mid if len(mid.encode()) <= 16 else ""


def full_block(ids: ExtensionIds, mid: str, playout: PlayoutDelay | None) -> ExtensionBlock:
    """For units that tell a player everything. `mid` as `sendable_mid` says; `playout` None leaves the delay to the player."""
    elements = [(ids.abs_send_time, bytes(3))]
    # The camera's clock is the one that stamps sender reports: the offset between both, the optional half, is zero.
    elements.append((ids.abs_capture_time, bytes(16)))
    if playout is not None:
        elements.append((ids.playout_delay, bytes(playout)))
    if mid:
        elements.append((ids.mid, mid.encode()))
    return _block(elements, ids)


def _block(elements: list[tuple[int, bytes]], ids: ExtensionIds) -> ExtensionBlock:
    at: dict[int, int] = {}
    body = bytearray()
    for number, value in elements:
        if number:
            at[number] = 4 + len(body) + 1
            body += bytes([number << 4 | len(value) - 1]) + value
    if not body:
        return ExtensionBlock(b"", None, None)
    body += bytes(-len(body) % 4)
    data = _PROFILE + (len(body) // 4).to_bytes(2, "big") + bytes(body)
    return ExtensionBlock(data, at.get(ids.abs_send_time), at.get(ids.abs_capture_time))


def send_time(ntp: int) -> bytes:
    """abs-send-time's three bytes for a 64-bit NTP timestamp."""
    short = ntp >> 14 & 0xFFFFFF
    return SEND_TIME.pack(short >> 16, short & 0xFFFF)
