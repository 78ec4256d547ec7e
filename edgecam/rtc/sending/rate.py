"""Fits what one viewer is sent to what its link carries: estimate in, rendition, pacing, silence and padding out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from edgecam.rtc.congestion import LinkEstimate
from edgecam.rtc.feedback import Reception
from edgecam.rtc.sending.repair import Repair
from edgecam.rtc.sending.sender import ViewerSender

OVERHEAD = 1.1  # octets sent per octet of video: headers, extensions, tags, a few retransmissions
PACING = 1.5  # times what is available: a keyframe takes a while, a usual unit leaves at once
RESTART_SPACING = 1.0  # seconds
REPAIRS = 0.15  # of what a limited link carries may be retransmissions, or they drown the stream that they mend
REPAIR_BURST = 24  # packets
PACKET_BITS = 9600  # of a full one
LONG_QUEUE = 200.0  # milliseconds
DRAINING = 0.6  # of what is available, until the queue is shorter than that
REPEAT = 2.0  # seconds after which the camera is told again what it knows already


class RateControl:
    """For one viewer, from the start of sending on. `estimate` is there to be read. `ceiling_bps` is the most that the camera may
    ever give anybody, `given` what it gives at most now: whether a link carries more is not worth any padding then."""

    def __init__(self, sender: ViewerSender, repair: Repair, ceiling_bps: int, given: Callable[[], int]) -> None:
        now = time.monotonic()
        can_pad = sender.stream.rtx_payload_type is not None
        self.estimate = LinkEstimate(int(ceiling_bps * OVERHEAD), now, can_pad=can_pad)
        self._given = given
        self._sender = sender
        self._repair = repair
        self._told_bps = 0
        self._told_at = now
        self._mended_from = 0  # packets before that are not sent again: a keyframe follows them
        self._restarted_at = 0.0
        self._repairs = float(REPAIR_BURST)
        self._repairs_at = now
        sender.link = self.estimate

    @property
    def video_bps(self) -> int:
        """What is left for video; less while a queue is to shrink."""
        estimate = self.estimate
        draining = estimate.congested and estimate.queueing_ms > LONG_QUEUE
        return int(estimate.available_bps * (DRAINING if draining else 1.0) / OVERHEAD)

    # what the session calls

    def wished(self, bps: int) -> None:
        """REMB."""
        self.estimate.bandwidth(bps, time.monotonic())

    def reported(self, report: Reception) -> None:
        """A report block about the stream or its retransmissions."""
        estimate = self.estimate
        if report.rtx:
            estimate.repaired(report.highest, report.lost)
            return
        now = time.monotonic()
        self._sender.settle()
        estimate.enough_bps = int(self._given() * OVERHEAD)
        round_trip = self._repair.report(report)
        if round_trip is not None:
            estimate.measured(round_trip, report.dlsr / 65536, now)
        before = estimate.overflowed
        estimate.reported(report.highest, report.lost, now)
        if estimate.overflowed and not before and now >= estimate.hold_until:
            self._restart(now)
        if self.video_bps != self._told_bps or now - self._told_at >= REPEAT:
            self._tell(now)
        if estimate.hold_until:
            self._sender.go_alone()
        if estimate.probing.goal_bps:
            self._sender.fanout.pacer.add(self)

    def nacked(self, numbers: Sequence[int]) -> None:
        """Send packets again, as far as that helps."""
        sender, estimate = self._sender, self.estimate
        if self._mended_from:
            numbers = [n for n in numbers if (sender.sequence - n) & 0xFFFF <= sender.sequence - self._mended_from]
        if estimate.available_bps < estimate.wanted_bps:
            now = time.monotonic()
            earned = (now - self._repairs_at) * estimate.available_bps * REPAIRS / PACKET_BITS
            self._repairs, self._repairs_at = min(REPAIR_BURST, self._repairs + earned), now
            if len(numbers) > self._repairs and now - self._restarted_at >= RESTART_SPACING:
                self._restart(now)
                return
            numbers = numbers[: int(self._repairs)]
            self._repairs -= len(numbers)
        if numbers:
            self._repair.answer(numbers)

    def _restart(self, now: float) -> None:
        """Too much is lost to be sent again: go on with a keyframe. A player waits for seconds before it asks for one."""
        self._restarted_at = now
        self._mended_from = self._sender.sequence
        self._sender.skip()

    def close(self) -> None:
        """Pad no more. Idempotent."""
        self._sender.fanout.pacer.discard(self)

    # what the pacer calls

    def resume(self) -> bool:
        """Pad, while a probe lasts."""
        estimate, sender = self.estimate, self._sender
        if not estimate.probing.goal_bps:
            return False
        now = time.monotonic()
        # Also without padding: what was repaired since the last unit counts.
        estimate.sent(sender.sequence, sender.path.octets, now)
        padding = estimate.padding(now)
        if padding:
            self._repair.pad(padding)
            estimate.sent(sender.sequence, sender.path.octets, now)
        return estimate.probing.goal_bps > 0

    def _tell(self, now: float) -> None:
        estimate, sender = self.estimate, self._sender
        self._told_bps, self._told_at = self.video_bps, now
        limited = estimate.available_bps < estimate.wanted_bps or estimate.wary(now)
        # Without a limit small units take the short way through the sender.
        sender.pacing_bps = int(estimate.available_bps * PACING) if limited else None
        sender.available(self._told_bps)
