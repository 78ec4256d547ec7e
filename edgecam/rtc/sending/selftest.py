"""Proves at start that the fast path does on this machine what it was written for; takes about a millisecond."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from dataclasses import dataclass
from struct import pack

import structlog

from edgecam.media.h264 import START_CODE
from edgecam.media.packetize import packetize
from edgecam.rtc import aiortc_private
from edgecam.rtc.extensions import ExtensionIds
from edgecam.rtc.sending.scratch import Scratch
from edgecam.rtc.sending.template import OWN_FIELDS, SOL_UDP, UDP_SEGMENT, StreamFormat, Template, ViewerClass

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """`usable`: packets are encrypted in place as pylibsrtp itself does it. `gso`: the kernel segments."""

    usable: bool
    gso: bool


def self_test() -> Capabilities:
    """What may be used on this machine; what may not is logged once, with what to do about it. Never raises."""
    try:
        for profile in aiortc_private.srtp_profiles():
            _compare_encryption(profile)
    except Exception as error:  # noqa: BLE001 - whatever is not as expected, aiortc's own sender still works
        log.warning(
            "sending.fast-path-off",
            reason=str(error) or type(error).__name__,
            effect="every viewer costs three times the CPU",
            remedy="install the aiortc and pylibsrtp versions that edgecam was tested with",
        )
        return Capabilities(usable=False, gso=False)
    gso = _segments()
    if not gso:
        log.info("sending.plain", reason="the kernel does not segment UDP (it needs Linux 4.18): each packet is sent alone")
    return Capabilities(usable=True, gso=gso)


def _compare_encryption(profile: aiortc_private.SrtpProfile) -> None:
    """Encrypt a unit's packets in place and by pylibsrtp's public API: bit for bit the same. Raises when they are not."""
    scratch, key = Scratch(), os.urandom(profile.key_length)
    data = START_CODE + b"\x65" + bytes(range(1, 256)) * 10
    viewers = ViewerClass(StreamFormat(96, ExtensionIds(mid=1, abs_send_time=3), "0", profile.tag_length))
    template = Template(data, packetize(data), viewers, full=True, capture_ntp=0, scratch=scratch)
    ours, theirs = profile.session(key), profile.session(key)
    (run,) = template.runs
    size = run.end - run.begin
    scratch.view[:size] = template.view
    scratch.view[size : size + 4] = canary = os.urandom(4)
    scratch.lengths[: len(run.lengths)] = run.lengths
    plain = []
    for index, at in enumerate(run.fields):
        OWN_FIELDS.pack_into(scratch.view, at, 100 + index, 7, 9)
        begin = index * run.stride
        plain.append(bytes(scratch.view[begin : min(begin + run.stride, size) - profile.tag_length]))
    scratch.protect(ours.context, run.pointers)
    if bytes(scratch.view[:size]) != b"".join(map(theirs.session.protect, plain)):
        raise RuntimeError(f"libsrtp does not encrypt in place as expected ({profile.name})")
    if bytes(scratch.view[size : size + 4]) != canary:
        raise RuntimeError(f"libsrtp writes beyond the packet ({profile.name})")


def _segments() -> bool:
    """Whether one send to ourselves becomes three datagrams."""
    with (
        closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as receiving,
        closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sending,
    ):
        try:
            receiving.bind(("127.0.0.1", 0))
            receiving.setblocking(False)
            sending.sendmsg((b"aabbc",), [(SOL_UDP, UDP_SEGMENT, pack("=H", 2))], 0, receiving.getsockname())
            return [receiving.recv(16) for _ in range(3)] == [b"aa", b"bb", b"c"]
        except OSError:
            return False
