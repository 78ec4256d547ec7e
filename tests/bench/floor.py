"""The floor: nothing but encryption and one GSO send per run, of the same packets to sockets that drop them as well.

Twice: in a tight loop, where every cache is warm, with what a packet costs by part; and in real time, a process that
wakes up for each unit as any sender must. Besides it one RTCP compound: decrypted and read as the daemon does.

In real time it sends to the address that edgecam's viewers have, which costs more than 127.0.0.1, and from a socket per viewer:
with ICE each viewer is sent to from a local candidate of its own, so that no sender of WebRTC to browsers can do with one
socket for all. That is measured too, to be seen beside it; nothing is compared with it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pylibsrtp
from aiortc.rtp import RtcpPsfbPacket, RtcpReceiverInfo, RtcpRrPacket, pack_remb_fci

from edgecam.rtc import aiortc_private
from edgecam.rtc.feedback import FeedbackReader
from edgecam.rtc.sending.cost import PacketCosts, packet_costs
from edgecam.rtc.sending.profiles import by_cost
from tests.bench import drain, stream
from tests.bench.contestants import ROOT
from tests.bench.viewers import Level, Result, processor_seconds, resident_mb

TITLES = {
    "floor": "floor in real time: protect and GSO send alone",
    "floor-one-socket": "the same from one socket for all, as no sender with ICE can",
}
VIEWERS = 16
COMPOUNDS = 2000


@dataclass(frozen=True, slots=True)
class Floor:
    """`profiles` the cheapest first; `rtcp_us` per inbound compound."""

    profiles: tuple[PacketCosts, ...]
    rtcp_us: float

    def us(self, profile: str) -> float:
        """Microseconds per packet of that profile: protect and send."""
        costs = next(each for each in self.profiles if each.profile == profile)
        return costs.protect + (costs.plain if costs.gso is None else costs.gso)


def measure(seconds: float) -> Floor:
    """`seconds` for each SRTP profile."""
    units = [unit.data for unit in stream.ensure()]
    known = {profile.name: profile for profile in aiortc_private.srtp_profiles()}
    with _sinks(VIEWERS) as sinks:
        found = [packet_costs(known[name], units, seconds, gso=True, receivers=sinks) for name in by_cost()]
    return Floor(tuple(found), _rtcp_us())


def paced(profile: str, address: str, levels: tuple[int, ...], seconds: float, name: str = "floor") -> Result:
    """In real time, measured as the contestants are: one of TITLES. All receivers are at `address`."""
    sockets = "each" if name == "floor" else "one"
    return Result(name, TITLES[name], tuple(_level(profile, address, number, seconds, sockets) for number in levels))


def _level(profile: str, address: str, viewers: int, seconds: float, sockets: str) -> Level:
    with _sinks(viewers, address) as sinks:
        ports = [str(sink.getsockname()[1]) for sink in sinks]
        command = [sys.executable, "-m", "tests.bench.floor_sender", profile, sockets, address, *ports]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                packets, begun = sum(map(drain.dropped, sinks)), time.monotonic()
                used = processor_seconds(process.pid)
                time.sleep(seconds)
                used, took = processor_seconds(process.pid) - used, time.monotonic() - begun
                packets = sum(map(drain.dropped, sinks)) - packets
                return Level(viewers, 100 * used / took, packets / took / viewers, resident_mb(process.pid))
            finally:
                process.kill()


@contextmanager
def _sinks(count: int, address: str = "127.0.0.1") -> Iterator[list[socket.socket]]:
    """Bound sockets of which the kernel drops all media."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sinks = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(count)]
    try:
        for sink in sinks:
            drain.drop_media(sink)
            sink.bind((address, 0))
        yield sinks
    finally:
        for sink in sinks:
            sink.close()


def _rtcp_us() -> float:
    """CPU time of one compound of a receiver report and REMB."""
    key = os.urandom(46)
    profile = pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM
    outbound, inbound = (
        pylibsrtp.Session(pylibsrtp.Policy(key=key, ssrc_type=kind, srtp_profile=profile))
        for kind in (pylibsrtp.Policy.SSRC_ANY_OUTBOUND, pylibsrtp.Policy.SSRC_ANY_INBOUND)
    )
    report = RtcpRrPacket(ssrc=1, reports=[RtcpReceiverInfo(7, 0, 0, 1, 0, 0, 0)])
    remb = RtcpPsfbPacket(fmt=15, ssrc=1, media_ssrc=0, fci=pack_remb_fci(2_000_000, [7]))
    compounds = [outbound.protect_rtcp(bytes(report) + bytes(remb)) for _ in range(COMPOUNDS)]
    reader = FeedbackReader(7)
    begun = time.thread_time()
    for compound in compounds:
        for _ in reader.read(inbound.unprotect_rtcp(compound)):
            pass
    return (time.thread_time() - begun) / COMPOUNDS * 1e6
