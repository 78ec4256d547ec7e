"""Sends a camera's units to one viewer: sequence numbers, encryption, pacing, reports."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import closing, suppress

import structlog

from edgecam.media.feed import Feed
from edgecam.media.types import RTP_CLOCK, AccessUnit
from edgecam.rtc import aiortc_private
from edgecam.rtc.congestion import LinkEstimate
from edgecam.rtc.sending.fanout import FanOut, PacketizedUnit
from edgecam.rtc.sending.numbers import Numbers
from edgecam.rtc.sending.pacer import AT_ONCE, Allowance
from edgecam.rtc.sending.path import Path
from edgecam.rtc.sending.reports import LIMITED_REPORT_NS, REPORT_NS, goodbye, sender_report
from edgecam.rtc.sending.streams import Stream
from edgecam.rtc.sending.template import FRESH_NS, OWN_FIELDS, Run, Template
from edgecam.rtc.sending.waiting import MAX_WAITING, MAX_WAITING_NS, Waiting

log = structlog.get_logger(__name__)


class ViewerSender(Numbers):
    """`deliver` takes units, `feed` is to be set before the first one; `broken` is called when sending has to end.

    A unit leaves at once, or in steps (see `pacer`); order is kept. While the viewer has a place in a convoy (see `lockstep`), that
    sends in its stead.
    """

    def __init__(
        self, fanout: FanOut, stream: Stream, srtp: aiortc_private.OutboundSrtp, path: Path, broken: Callable[[str], None]
    ) -> None:
        super().__init__(path)
        self.feed: Feed | None = None
        self.stream = stream
        self.fanout = fanout
        self.srtp = srtp
        self.allowance = Allowance()
        self.viewers = fanout.viewer_class(stream.repeatable)
        self._broken = broken
        self._ssrc = stream.ssrc
        self._backlog: deque[Waiting] = deque()
        self._catching_up = False  # on units that came before the viewer did: their delay is not ours
        self._closed = False
        self._owed = False  # a keyframe is to be asked for once the backlog is gone
        self._held = 0  # units not sent in the present silence

    # what the session calls

    def start(self, feed: Feed) -> None:
        """Begin to send what `feed` delivers, which must be to `deliver`."""
        self.feed = feed
        self._catching_up = True
        feed.start()
        self._catching_up = False

    def available(self, bps: int) -> None:
        """Tell the feed what the link carries of video, bit/s: it may replay units of another rendition."""
        if self.feed is not None:
            self._catching_up = True
            try:
                self.feed.available(bps)
            finally:
                self._catching_up = False

    def close(self) -> None:
        """Say BYE and give back what was taken. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self.fanout.pacer.discard(self)
        self._backlog.clear()
        if self.feed is not None:
            self.feed.close()
        with closing(self.path), suppress(aiortc_private.SrtpError):
            if self.path.follow():
                self.path.send(self.srtp.session.protect_rtcp(goodbye(self.stream.ssrc)))

    @property
    def pacing_bps(self) -> int | None:
        """What the viewer's link may be given at most, bit/s; None while there is no estimate of it."""
        return self.allowance.bps

    @pacing_bps.setter
    def pacing_bps(self, bps: int | None) -> None:
        self.allowance.bps = bps
        if bps is not None:
            self.go_alone()

    @property
    def waiting_packets(self) -> int:
        """Of units that have come and not left as a whole."""
        together = self._place.waiting_packets if self._place is not None else 0
        return together + sum(waiting.packets for waiting in self._backlog)

    def rtp_time(self, monotonic_ns: int) -> int:
        """The RTP timestamp of a picture captured at that moment (CLOCK_MONOTONIC)."""
        return (monotonic_ns * (RTP_CLOCK // 10_000) // 100_000 + self.fanout.origin) & 0xFFFFFFFF

    # what the feed calls

    def deliver(self, unit: AccessUnit) -> None:
        """Send a unit, or queue it. Never raises: what one viewer's session breaks, the others must not notice."""
        try:
            fanout, path, link = self.fanout, self.path, self.link
            packetized = fanout.newest_packetized if unit is fanout.newest else fanout.packetized(unit)
            if self._closed or not packetized.payloads or not path.follow():
                return
            if link is not None and link.hold_until and self._hold(link, unit):
                return
            before = self._timestamp
            if before < 0:
                self._begin(packetized)
            template = packetized.templates.get(self.viewers) or fanout.template(packetized, self.viewers)
            now_ns = time.monotonic_ns()
            if self._backlog and self._overdue(now_ns, unit):
                return
            # Two units may have the same time, one the last of its rendition and one the first of another.
            self._timestamp = unit.timestamp if unit.timestamp > before else before + 1
            timestamp = (self._timestamp + fanout.origin) & 0xFFFFFFFF
            if template.count <= AT_ONCE and self.allowance.bps is None and not self._backlog:
                self._send_whole(template, packetized, timestamp, now_ns, 0 if self._catching_up else unit.received_ns)
            else:
                received_ns = 0 if self._catching_up else unit.received_ns
                waiting = Waiting(template, packetized, timestamp, now_ns, received_ns, keyframe=unit.keyframe)
                self._queue(waiting, now_ns)
            if now_ns >= self._report_due_ns:
                self.report(now_ns)
        except Exception as error:
            log.exception("sending.failed")
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._backlog.clear()
        self._broken(f"sending failed ({type(error).__name__})")

    def _begin(self, packetized: PacketizedUnit) -> None:
        """Take over the camera's numbers: as long as nothing is dropped, this viewer's packets are the template's."""
        upper_half = packetized.sequence & 0x8000
        self._sequence = packetized.sequence + upper_half
        self.viewers = self.fanout.viewer_class(self.viewers.format, upper_half)

    def _send_whole(
        self, template: Template, packetized: PacketizedUnit, timestamp: int, now_ns: int, received_ns: int
    ) -> None:
        """A unit that needs no pacing: what nearly all of them are, so that nothing is called here that need not be."""
        fanout = self.fanout
        if now_ns - template.stamped_ns > FRESH_NS:
            template.stamp(now_ns, fanout.clock)
        self._sent.begun(self._sequence, packetized, timestamp)
        for run in template.runs:
            if not self._send(template, run, timestamp):
                self._lag(1)
                return
        self._octets += template.octets
        if self.link is not None:
            self.link.delivery.sent(self._sequence, self.path.octets, now_ns / 1e9)
        if received_ns:
            fanout.delays.observe(time.monotonic_ns() - received_ns)
        numbers = (self._sequence - template.count & 0xFFFF, timestamp, self._ssrc)
        if template.own == numbers and template.whole and self.feed is not None and not self._catching_up:
            self._place = fanout.lockstep.join(self, self.feed, packetized, self._timestamp, self._sequence)

    def _send(self, template: Template, part: Run, timestamp: int) -> bool:
        """Send a run or a part of one. False when the socket did not take it all."""
        scratch, sequence, ssrc = self.fanout.scratch, self._sequence, self._ssrc
        view, size = scratch.view, part.end - part.begin
        view[:size] = template.view[part.begin : part.end]
        scratch.lengths[: len(part.lengths)] = part.lengths
        if template.own != ((sequence - part.first) & 0xFFFF, timestamp, ssrc):
            for at in part.fields:
                OWN_FIELDS.pack_into(view, at, sequence & 0xFFFF, timestamp, ssrc)
                sequence += 1
        scratch.protect(self.srtp.context, part.pointers)
        taken = self.path.send_run(view[:size], part)
        self._sequence += taken
        self._packets += taken
        return taken == part.count

    # what waits

    def take_over(self, waiting: Waiting) -> None:
        """Go on with a unit that the convoy has begun to send."""
        if not self._closed:
            self._backlog.append(waiting)
            self.allowance.waiting(self.waiting_packets)
            self.fanout.pacer.add(self)

    def _queue(self, waiting: Waiting, now_ns: int) -> None:
        self._owed = False  # what comes after a drop is a keyframe
        at_once = 0 if self._backlog else self.allowance.at_once(now_ns)
        self._backlog.append(waiting)
        if at_once:
            self._advance(at_once, now_ns)
        if self._backlog:
            self.allowance.waiting(self.waiting_packets)
            self.fanout.pacer.add(self)

    def resume(self) -> bool:
        """Send what may be sent now; returns whether anything is left. Called by the pacer."""
        try:
            now_ns = time.monotonic_ns()
            if not self.path.follow():
                self._backlog.clear()
                self._collect()
            elif allowed := self.allowance.step(now_ns):
                self._advance(allowed, now_ns)
        except Exception as error:
            log.exception("sending.failed")
            self._fail(error)
        return bool(self._backlog)

    def _advance(self, packets: int, now_ns: int) -> None:
        """Send at most so many packets of what waits."""
        backlog = self._backlog
        while backlog and packets > 0:
            waiting = backlog[0]
            template = waiting.template
            template.stamp(now_ns, self.fanout.clock)
            if waiting.following == 0:
                self._sent.begun(self._sequence, waiting.packetized, waiting.timestamp)
            while waiting.packets and packets > 0:
                part = waiting.part(packets)
                if not self._send(template, part, waiting.timestamp):
                    lost = len(backlog)
                    backlog.clear()
                    self._lag(lost)
                    return
                waiting.following += part.count
                packets -= part.count
                self.allowance.spent(part.count)
            if not waiting.packets:
                backlog.popleft()
                self._octets += template.octets
                if waiting.received_ns:
                    self.fanout.delays.observe(time.monotonic_ns() - waiting.received_ns)
        if self.link is not None:
            self.link.sent(self._sequence, self.path.octets, now_ns / 1e9)
        if not backlog:
            self._collect()

    def _collect(self) -> None:
        """The backlog is gone: ask for the keyframe that there was no room for before."""
        if self._owed:
            self._owed = False
            assert self.feed is not None
            self.feed.request_keyframe()

    def _overdue(self, now_ns: int, unit: AccessUnit) -> bool:
        """Drop what waits too long, but not a keyframe that has begun: on a very slow link it is all that ever arrives.
        Until that has left, another one would only be dropped, so none is asked for. Returns whether the new unit is
        dropped too."""
        backlog = self._backlog
        if now_ns - backlog[0].since_ns < MAX_WAITING_NS and self.waiting_packets < MAX_WAITING:
            return False
        assert self.feed is not None
        head = backlog[0]
        kept = [head] if head.keyframe and head.following else []
        dropped = len(backlog) - len(kept)
        backlog.clear()
        backlog.extend(kept)
        if kept:
            self._owed = True
            self.feed.dropped += dropped + 1
            self.feed.await_keyframe()
            return True
        if unit.keyframe:
            self.feed.dropped += dropped
            return False
        self._lag(dropped + 1)
        return True

    def skip(self) -> None:
        """Give up what waits, and go on with a keyframe."""
        self.go_alone()
        waiting = len(self._backlog)
        self._backlog.clear()
        self._lag(waiting)

    def _hold(self, link: LinkEstimate, unit: AccessUnit) -> bool:
        """Whether the unit is dropped because the link is to fall silent, or has just been: what comes next must be a
        keyframe."""
        if time.monotonic() < link.hold_until:
            self._held += 1 + len(self._backlog)
            self._backlog.clear()
            self._collect()
            return True
        link.hold_until = 0.0
        held, self._held = self._held, 0
        if not held:
            return False
        if not unit.keyframe:
            self._lag(held + 1)
            return True
        assert self.feed is not None
        self.feed.dropped += held
        return False

    def _lag(self, units: int) -> None:
        assert self.feed is not None
        self._owed = False
        self.feed.lagged(units)

    # RTCP

    def report(self, now_ns: int) -> None:
        """Send a sender report. Never raises."""
        try:
            self._report_due_ns = now_ns + (REPORT_NS if self.allowance.bps is None else LIMITED_REPORT_NS)
            timestamp = self.rtp_time(now_ns)
            ntp = self.fanout.clock.ntp(now_ns)
            report = sender_report(self.stream.ssrc, ntp, timestamp, self.packets, self.octets, self.stream.cname)
            self.path.send(self.srtp.session.protect_rtcp(report))
        except Exception as error:
            log.exception("sending.failed")
            self._fail(error)
