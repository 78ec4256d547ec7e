"""Receivers that cost nothing: the kernel throws SRTP away before it reaches them, and counts it.

A classic BPF program on each receiver's socket (socket(7), SO_ATTACH_FILTER) lets STUN, DTLS and SRTCP through, so that
ICE consent and receiver reports stay real, and drops SRTP. Sixty-four receivers that woke up for every packet would eat
the cores on which the sender is measured. The same filter is in front of every contestant's receivers.
"""

from __future__ import annotations

import ctypes
import socket
import struct

SO_ATTACH_FILTER, SO_MEMINFO = 26, 55
DROPS = 8  # SK_MEMINFO_DROPS
_LOAD_BYTE, _IF_AT_LEAST, _RETURN = 0x30, 0x35, 0x06
_FIRST, _SECOND = 8, 9  # a UDP socket's filter sees the UDP header first


def _program(markers: bool) -> list[tuple[int, int, int, int]]:
    """(code, jump if true, jump if false, value): RFC 7983's ranges, and RFC 5761's for telling RTCP from RTP."""
    last_rtcp = 256 if markers else 224  # 224 and above: a dynamic payload type with the marker bit
    return [
        (_LOAD_BYTE, 0, 0, _FIRST),
        (_IF_AT_LEAST, 0, 5, 128),  # STUN, DTLS: take
        (_IF_AT_LEAST, 4, 0, 192),
        (_LOAD_BYTE, 0, 0, _SECOND),
        (_IF_AT_LEAST, 0, 1, 192),  # below: RTP without marker, drop
        (_IF_AT_LEAST, 0, 1, last_rtcp),  # below: RTCP, take
        (_RETURN, 0, 0, 0),
        (_RETURN, 0, 0, 0xFFFF),
    ]


def drop_media(sock: socket.socket, *, markers: bool = False) -> None:
    """From now on no SRTP comes out of `sock`; with `markers` only the last packet of each picture does."""
    code = b"".join(struct.pack("=HBBI", *step) for step in _program(markers))
    kept = ctypes.create_string_buffer(code, len(code))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(code) // 8, ctypes.addressof(kept)))


def dropped(sock: socket.socket) -> int:
    """Packets thrown away so far, modulo 2^32."""
    return int(struct.unpack_from("=I", sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 64), 4 * DROPS)[0])
