"""RTCP packets as viewers send them, byte by byte: RFC 3550, RFC 4585, RFC 5104, REMB, transport-wide feedback."""

from __future__ import annotations

from collections.abc import Sequence
from struct import pack

VIEWER = 1  # the SSRC that browsers which only receive report under


def block(ssrc: int, fraction: int = 0, lost: int = 0, highest: int = 0, jitter: int = 0, lsr: int = 0, dlsr: int = 0) -> bytes:
    return pack("!IIIIII", ssrc, fraction << 24 | (lost & 0xFFFFFF), highest, jitter, lsr, dlsr)


def receiver_report(*blocks: bytes, sender: int = VIEWER) -> bytes:
    return pack("!BBHI", 0x80 | len(blocks), 201, 1 + 6 * len(blocks), sender) + b"".join(blocks)


def sender_report(*blocks: bytes, sender: int = VIEWER) -> bytes:
    return pack("!BBHI20x", 0x80 | len(blocks), 200, 6 + 6 * len(blocks), sender) + b"".join(blocks)


def sdes(name: bytes = b"viewer", sender: int = VIEWER) -> bytes:
    chunk = pack("!IBB", sender, 1, len(name)) + name + b"\0"
    chunk += bytes(-len(chunk) % 4)
    return pack("!BBH", 0x81, 202, len(chunk) // 4) + chunk


def bye(*sources: int) -> bytes:
    return pack(f"!BBH{len(sources)}I", 0x80 | len(sources), 203, len(sources), *sources)


def pli(ssrc: int) -> bytes:
    return pack("!BBHII", 0x81, 206, 2, VIEWER, ssrc)


def fir(number: int, *ssrcs: int, sender: int = VIEWER) -> bytes:
    entries = b"".join(pack("!IBxxx", ssrc, number) for ssrc in ssrcs)
    return pack("!BBHII", 0x84, 206, 2 + 2 * len(ssrcs), sender, 0) + entries


def remb(mantissa: int, exponent: int, *ssrcs: int) -> bytes:
    head = pack("!BBHII4s", 0x8F, 206, 4 + len(ssrcs), VIEWER, 0, b"REMB")
    return head + pack("!I", len(ssrcs) << 24 | exponent << 18 | mantissa) + b"".join(pack("!I", s) for s in ssrcs)


def nack(ssrc: int, *entries: tuple[int, int]) -> bytes:
    return pack("!BBHII", 0x81, 205, 2 + len(entries), VIEWER, ssrc) + b"".join(pack("!HH", *entry) for entry in entries)


def application(payload: bytes) -> bytes:
    """APP, whose name and content nobody knows."""
    return pack("!BBHI4s", 0x80, 204, 2 + len(payload) // 4, VIEWER, b"junk") + payload


def extended_report(payload: bytes) -> bytes:
    """XR, RFC 3611."""
    return pack("!BBHI", 0x80, 207, 1 + len(payload) // 4, VIEWER) + payload


def transport_feedback(base: int, count: int, reference: int, chunks: Sequence[int], deltas: bytes, statuses: int) -> bytes:
    """With 1 to 3 bytes of padding and the P bit, as libwebrtc makes it, unless the length is a multiple of four."""
    body = pack("!II", VIEWER, 0) + pack("!HHI", base, statuses, (reference & 0xFFFFFF) << 8 | count)
    body += b"".join(pack("!H", chunk) for chunk in chunks) + deltas
    padding = -len(body) % 4
    if padding:
        body += bytes(padding - 1) + bytes([padding])
    return pack("!BBH", (0xAF if padding else 0x8F), 205, len(body) // 4) + body
