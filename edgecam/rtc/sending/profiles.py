"""Which SRTP profile is cheapest on this machine: AES-GCM with AES instructions, AES-CM with HMAC-SHA1 without them."""

from __future__ import annotations

import os
import time
from functools import cache
from itertools import count

from edgecam.rtc import aiortc_private
from edgecam.rtc.sending.scratch import Scratch

PACKET = b"\x80\x60" + bytes(1150)
ROUND = 64  # packets
TIME_EACH = 0.015  # seconds


@cache
def by_cost() -> list[str]:
    """Names of the profiles that aiortc negotiates, the cheapest first. Takes 50 ms of one core, once, in any thread."""
    costs = {profile.name: _cost(profile) for profile in aiortc_private.srtp_profiles()}
    return sorted(costs, key=lambda name: costs[name])


def _cost(profile: aiortc_private.SrtpProfile) -> float:
    """Seconds of CPU time for ROUND packets, in the best of many rounds."""
    session, scratch = profile.session(os.urandom(profile.key_length)), Scratch()
    packet = bytearray(PACKET)
    numbers, best = count(), float("inf")
    until = time.monotonic() + TIME_EACH
    while time.monotonic() < until:
        began = time.thread_time()
        for _ in range(ROUND):
            packet[2:4] = (next(numbers) & 0xFFFF).to_bytes(2, "big")
            scratch.protect_one(session.context, packet)
        best = min(best, time.thread_time() - began)
    return best
