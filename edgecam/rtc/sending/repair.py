"""Answers a viewer's NACKs, with retransmissions (RFC 4588) or, where those were not negotiated, the packet as it was."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable

from edgecam.rtc.extensions import send_time
from edgecam.rtc.feedback import Reception
from edgecam.rtc.retransmission import RetransmissionBudget
from edgecam.rtc.sending.history import SentPacket
from edgecam.rtc.sending.scratch import MAX_PACKETS
from edgecam.rtc.sending.sender import ViewerSender
from edgecam.rtc.sending.template import RTP_HEADER, rtp_header

# libsrtp refuses to encrypt anew what lies further back in the same stream than its replay window of 1024, as aiortc sets
# it; and it has seen as many packets more as were encrypted in one run that the socket then did not take.
SRTP_WINDOW = 1024 - MAX_PACKETS


class Repair:
    """For one viewer. `packets` and `octets` count what was sent again, padding included."""

    def __init__(self, sender: ViewerSender) -> None:
        self.packets = 0
        self.octets = 0
        self.budget = RetransmissionBudget()
        self.reception: Reception | None = None
        self.round_trip: float | None = None  # seconds, smoothed
        self._sender = sender
        self._sequence = random.randrange(1, 1 << 15)  # of the RTX stream

    def report(self, reception: Reception) -> float | None:
        """Note what the viewer reports about the stream; returns the round trip that it gives away, seconds."""
        self.reception = reception
        now = self._sender.fanout.clock.ntp(time.monotonic_ns()) >> 16 & 0xFFFFFFFF
        measured = reception.round_trip(now)
        if measured is not None:
            before = self.round_trip
            self.round_trip = measured if before is None else before + (measured - before) / 8
        return measured

    def answer(self, numbers: Iterable[int]) -> None:
        """Send the packets with these 16-bit sequence numbers again, as far as they are known and the budget lasts."""
        sender, now_ns = self._sender, time.monotonic_ns()
        if not sender.path.follow():
            return
        # Before the round trip is known, the budget's own idea of a long one.
        known = () if self.round_trip is None else (self.round_trip,)
        for number in self.budget.grant(numbers, now_ns / 1e9, *known):
            packet = sender.sent.find(number, sender.sequence)
            if packet is not None and not self._send(packet, now_ns):
                return

    def pad(self, octets: int) -> int:
        """Send newest packets once more to probe the link; returns how many bytes of payload that made. 0 where
        retransmission was not negotiated."""
        sender, now_ns, made = self._sender, time.monotonic_ns(), 0
        if sender.stream.rtx_payload_type is None or not sender.path.follow():
            return 0
        while made < octets:
            newest = sender.sent.newest(sender.sequence, 16)
            before = made
            for packet in newest:
                if made >= octets or not self._send(packet, now_ns):
                    return made
                made += packet.payload.octets
            if made == before:
                return made
        return made

    def _send(self, packet: SentPacket, now_ns: int) -> bool:
        """False when the socket is full."""
        sender = self._sender
        if sender.stream.rtx_payload_type is None:
            if sender.sequence - packet.sequence > SRTP_WINDOW:
                return True
            plain = self._as_it_was(packet)
        else:
            plain = self._retransmission(packet, sender.stream.rtx_payload_type, now_ns)
        protected = sender.fanout.scratch.protect_one(sender.srtp.context, plain)
        self.packets += 1
        self.octets += packet.payload.octets
        return sender.path.send(protected)

    def _retransmission(self, packet: SentPacket, payload_type: int, now_ns: int) -> bytearray:
        sender = self._sender
        block = sender.viewers.plain
        self._sequence = (self._sequence + 1) & 0xFFFF
        own = (self._sequence, packet.timestamp, sender.stream.rtx_ssrc)
        plain = rtp_header(block, packet.marker, payload_type, own)
        if block.send_time_at is not None:
            at = RTP_HEADER + block.send_time_at
            plain[at : at + 3] = send_time(sender.fanout.clock.ntp(now_ns))
        plain += (packet.sequence & 0xFFFF).to_bytes(2, "big")
        plain += packet.payload.of(packet.unit.data)
        return plain

    def _as_it_was(self, packet: SentPacket) -> bytearray:
        """Bit for bit: encrypting anything else under a sequence number that was used would weaken the key."""
        sender, unit = self._sender, packet.unit
        own = (packet.sequence & 0xFFFF, packet.timestamp, sender.stream.ssrc)
        capture_ntp = sender.fanout.clock.ntp(unit.captured_ns)
        block = sender.viewers.block(full=unit.full)
        plain = rtp_header(block, packet.marker, sender.viewers.format.payload_type, own, capture_ntp)
        plain += packet.payload.of(unit.data)
        return plain
