"""RTCP that a sender of one stream says: sender report with SDES, and BYE (RFC 3550 section 6). Pure."""

from __future__ import annotations

from struct import Struct

# Between sender reports: of a link that is known to be limited, the viewer's answers tell sooner what waits on the way.
REPORT_NS, LIMITED_REPORT_NS = 1_000_000_000, 500_000_000
_SR, _SDES, _BYE = 200, 202, 203
_CNAME = 1
_REPORT = Struct("!BBHIQIII")
_CHUNK = Struct("!BBHIBB")
_GOODBYE = Struct("!BBHI")


def sender_report(ssrc: int, ntp: int, timestamp: int, packets: int, octets: int, cname: str) -> bytes:
    """A compound of SR and SDES. `ntp` (64 bits) and `timestamp` (RTP clock) name the same moment."""
    report = _REPORT.pack(0x80, _SR, 6, ssrc, ntp, timestamp, packets & 0xFFFFFFFF, octets & 0xFFFFFFFF)
    name = cname.encode()[:255]
    # The chunk's items end with a null, and it is filled up to a multiple of four bytes: section 6.5.
    length = 4 + 2 + len(name) + 1
    padding = -length % 4
    return report + _CHUNK.pack(0x81, _SDES, (length + padding) // 4, ssrc, _CNAME, len(name)) + name + bytes(1 + padding)


def goodbye(ssrc: int) -> bytes:
    """A BYE."""
    return _GOODBYE.pack(0x81, _BYE, 1, ssrc)
