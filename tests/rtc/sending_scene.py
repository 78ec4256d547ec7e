"""A viewer's sender on real sockets and real SRTP, without ICE and DTLS before it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiortc.codecs.h264 import H264PayloadDescriptor
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import HeaderExtensionsMap, RtcpPacket, RtpPacket
from pylibsrtp import Policy, Session

from edgecam.media.broadcaster import Broadcaster
from edgecam.media.feed import Convoy, Feed
from edgecam.media.h264 import START_CODE, nal_units
from edgecam.media.types import AccessUnit
from edgecam.media.wallclock import WallClock
from edgecam.rtc import aiortc_private
from edgecam.rtc.extensions import ABS_SEND_TIME, MID, ExtensionIds
from edgecam.rtc.ice.candidate import Candidate
from edgecam.rtc.ice.endpoints import UdpEndpoint
from edgecam.rtc.ice.pairs import Pair
from edgecam.rtc.sending.fanout import FanOut
from edgecam.rtc.sending.path import Path
from edgecam.rtc.sending.repair import Repair
from edgecam.rtc.sending.sender import ViewerSender
from edgecam.rtc.sending.streams import Stream
from edgecam.rtc.sending.template import StreamFormat

PROFILES = {
    "SRTP_AEAD_AES_256_GCM": (Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 44, 16),
    "SRTP_AEAD_AES_128_GCM": (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28, 16),
    "SRTP_AES128_CM_SHA1_80": (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30, 10),
}
SO_RCVBUFFORCE = 33  # asm-generic/socket.h
SO_NO_CHECK = 11
CLONE_NEWNET = 0x40000000  # linux/sched.h
PAYLOAD_TYPE, RTX_PAYLOAD_TYPE, SSRC, RTX_SSRC = 98, 99, 0x11111111, 0x22222222
FRAME = 3000  # 90 kHz ticks
IDS = ExtensionIds(mid=1, abs_send_time=3, playout_delay=5, abs_capture_time=6)


def session(profile: str, key: bytes, *, inbound: bool) -> Session:
    """A libsrtp session as aiortc makes them."""
    policy = Policy(
        key=key,
        ssrc_type=Policy.SSRC_ANY_INBOUND if inbound else Policy.SSRC_ANY_OUTBOUND,
        srtp_profile=PROFILES[profile][0],
    )
    policy.allow_repeat_tx = True
    policy.window_size = 1024
    return Session(policy)


class Camera:
    """A fan-out of units without a source."""

    def __init__(self) -> None:
        self.asked = 0
        self.broadcaster = Broadcaster(self._ask)

    def attach(self, deliver: Callable[[AccessUnit], None]) -> Feed:
        return Feed(deliver, self)

    def feed_started(self, feed: Feed) -> None:
        self.broadcaster.add(feed, time.monotonic_ns())

    def feed_wants_keyframe(self, feed: Feed) -> None:
        self._ask()

    def feed_estimates(self, feed: Feed, bps: int) -> None:
        raise AssertionError("nobody estimates here")

    def feed_switched(self, feed: Feed, before: int) -> None:
        raise AssertionError("there is one rendition here")

    def feed_joined(self, feed: Feed, convoy: Convoy) -> None:
        self.broadcaster.unite(feed, convoy)

    def feed_parted(self, feed: Feed) -> None:
        self.broadcaster.part(feed)

    def feed_closed(self, feed: Feed) -> None:
        self.broadcaster.remove(feed)

    def _ask(self) -> None:
        self.asked += 1


@dataclass
class Arrived:
    """What reached the viewer, decrypted, in order of arrival."""

    rtp: list[RtpPacket] = field(default_factory=list)
    reports: list[Any] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    @property
    def media(self) -> list[RtpPacket]:
        return [packet for packet in self.rtp if packet.ssrc == SSRC]

    @property
    def repeated(self) -> list[RtpPacket]:
        return [packet for packet in self.rtp if packet.ssrc == RTX_SSRC]


@dataclass
class Link:
    """One viewer: `sender` on our side, `receiving` on the other. `pairs` is what ICE has nominated."""

    camera: Camera
    sender: ViewerSender
    repair: Repair
    receiving: socket.socket
    pairs: dict[int, Pair]
    broken: list[str]
    _inbound: Session
    _extensions: HeaderExtensionsMap

    def datagrams(self, receiving: socket.socket | None = None) -> list[bytes]:
        """Everything that has arrived by now, reports left out, as it came."""
        return [datagram for datagram in self._drain(receiving or self.receiving) if not 191 < datagram[1] < 224]

    def receive(self, into: Arrived | None = None, receiving: socket.socket | None = None) -> Arrived:
        """Everything that has arrived by now."""
        arrived = into or Arrived()
        for datagram in self._drain(receiving or self.receiving):
            arrived.sizes.append(len(datagram))
            if 191 < datagram[1] < 224:
                arrived.reports += RtcpPacket.parse(self._inbound.unprotect_rtcp(datagram))
            else:
                arrived.rtp.append(RtpPacket.parse(self._inbound.unprotect(datagram), self._extensions))
        return arrived

    @staticmethod
    def _drain(receiving: socket.socket) -> Iterator[bytes]:
        with suppress(BlockingIOError):
            while True:
                yield receiving.recv(2048)


def listening(host: str = "127.0.0.1") -> socket.socket:
    """A viewer's socket, with room for a whole keyframe."""
    receiving = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    receiving.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
    receiving.bind((host, 0))
    receiving.setblocking(False)
    return receiving


def clogged() -> tuple[socket.socket, tuple[str, int]]:
    """A socket that soon takes nothing more, and where to send: packets wait for a neighbour that does not answer, in a
    network namespace of their own, which lives as long as the socket."""
    with ThreadPoolExecutor(1) as elsewhere:
        return elsewhere.submit(_clogged).result()


def _clogged() -> tuple[socket.socket, tuple[str, int]]:
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):  # of this thread only
        raise OSError(ctypes.get_errno(), "unshare")
    for command in (
        "link add camera type veth peer name nobody",
        "addr add 10.9.9.1/24 dev camera",
        "link set camera up",
        "link set nobody up",
    ):
        subprocess.run(["ip", *command.split()], check=True)
    sending = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sending.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    sending.setblocking(False)
    sending.bind(("10.9.9.1", 0))
    return sending, ("10.9.9.2", 5004)


def pair_from(sending: socket.socket, address: tuple[str, int]) -> Pair:
    """A candidate pair over that socket."""
    endpoint = UdpEndpoint(sending)
    own = sending.getsockname()
    endpoint.base, endpoint.local_candidate = own[0], Candidate("1", 1, "udp", 1, own[0], own[1], "host")
    return Pair(endpoint, Candidate("1", 1, "udp", 1, *address, "host"))


def pair_to(receiving: socket.socket) -> Pair:
    """From a new socket on the same host."""
    address = receiving.getsockname()[:2]
    sending = socket.socket(receiving.family, socket.SOCK_DGRAM)
    sending.setblocking(False)
    sending.bind((address[0], 0))
    return pair_from(sending, address)


@asynccontextmanager
async def link(
    profile: str = "SRTP_AEAD_AES_128_GCM",
    *,
    rtx: bool = True,
    gso: bool = True,
    fanout: FanOut | None = None,
    camera: Camera | None = None,
    host: str = "127.0.0.1",
    ids: ExtensionIds = IDS,
    shared: bool = True,
) -> AsyncIterator[Link]:
    """A connected viewer, its feed not yet started: `link.sender.start(camera.attach(...))` does that. `shared`: with the
    camera's own SSRC, as every viewer has it, so that its packets can be the camera's own too."""
    camera = camera or Camera()
    fanout = fanout or FanOut(WallClock.read())
    if shared:
        fanout.ssrc, fanout.rtx_ssrc = SSRC, RTX_SSRC
    _, key_length, tag = PROFILES[profile]
    key = os.urandom(key_length)
    outbound = session(profile, key, inbound=False)
    receiving = listening(host)
    pairs = {1: pair_to(receiving)}
    broken: list[str] = []
    extensions = HeaderExtensionsMap()
    negotiated = [(ids.mid, MID), (ids.abs_send_time, ABS_SEND_TIME)]
    extensions.configure(
        RTCRtpParameters(headerExtensions=[RTCRtpHeaderExtensionParameters(id=i, uri=uri) for i, uri in negotiated if i])
    )
    stream = Stream(
        StreamFormat(PAYLOAD_TYPE, ids, "0", tag), SSRC, RTX_SSRC, RTX_PAYLOAD_TYPE if rtx else None, "camera"
    )
    srtp = aiortc_private.OutboundSrtp(outbound, outbound._srtp[0], profile, tag)
    sender = ViewerSender(fanout, stream, srtp, Path(pairs, "viewer", gso=gso), broken.append)
    first = pairs[1]
    try:
        yield Link(camera, sender, Repair(sender), receiving, pairs, broken, session(profile, key, inbound=True), extensions)
    finally:
        sender.close()
        receiving.close()
        await first.protocol.close()


def start(viewer: Link) -> None:
    viewer.sender.start(viewer.camera.attach(viewer.sender.deliver))


def unit(index: int, size: int, *, keyframe: bool = False, timestamp: int | None = None) -> AccessUnit:
    """An access unit of about `size` bytes, made now."""
    body = random.Random(f"{index} {size}").randbytes(size).replace(b"\0", b"\1")
    slices = START_CODE + bytes([0x65 if keyframe else 0x41]) + body
    head = START_CODE + b"\x67\x42\xc0\x1f\xda" + START_CODE + b"\x68\xce\x3c\x80" if keyframe else b""
    now = time.monotonic_ns()
    return AccessUnit(head + slices, keyframe, index * FRAME if timestamp is None else timestamp, now, now)


def units_of(packets: list[RtpPacket]) -> list[list[bytes]]:
    """NAL units of each access unit, cut at the marker."""
    units, current = [], b""
    for packet in packets:
        current += H264PayloadDescriptor.parse(packet.payload)[1]
        if packet.marker:
            units.append(list(nal_units(current)))
            current = b""
    assert current == b"", "every unit ends with a marker"
    return units


def expected(units: list[AccessUnit]) -> list[list[bytes]]:
    return [list(nal_units(each.data)) for each in units]


async def drained(viewer: Link) -> None:
    """Wait until nothing waits for the pacer."""
    async with asyncio.timeout(5):
        while viewer.sender.waiting_packets:  # noqa: ASYNC110 - the pacer tells nobody
            await asyncio.sleep(0.002)
