"""What a packet costs on this machine, by part: the fast path's own steps, each timed with the thread's CPU clock."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle, islice

from edgecam.media.packetize import packetize
from edgecam.rtc import aiortc_private
from edgecam.rtc.extensions import ExtensionIds
from edgecam.rtc.sending.scratch import Scratch
from edgecam.rtc.sending.template import OWN_FIELDS, StreamFormat, Template, ViewerClass

VIEWERS = 16
EXTENSIONS = ExtensionIds(mid=1, abs_send_time=3)


@dataclass(frozen=True, slots=True)
class PacketCosts:
    """CPU time in microseconds per packet. `packetize` is paid once for all viewers, the others once for each.

    `gso` is None where the kernel does not segment UDP.
    """

    profile: str
    packetize: float
    copy: float
    protect: float
    gso: float | None
    plain: float  # one sendto each

    @property
    def each_viewer(self) -> float:
        """Copied, encrypted and sent in the cheapest way there is."""
        return self.copy + self.protect + (self.plain if self.gso is None else self.gso)


def packet_costs(
    profile: aiortc_private.SrtpProfile,
    units: Sequence[bytes],
    seconds: float,
    *,
    gso: bool,
    receivers: Sequence[socket.socket] = (),
) -> PacketCosts:
    """Send `units` (Annex B) on loopback for about `seconds`. `receivers` are bound UDP sockets that nobody reads,
    made here when there are none: a full one makes the kernel throw packets away."""
    with ExitStack() as stack:
        sinks = list(receivers) or [stack.enter_context(_sink()) for _ in range(VIEWERS)]
        sender = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        # In turns, so that a machine that changes its pace changes it for both.
        halves = [_Course(profile, sinks, sender, gso=way) for way in ((True, False) if gso else (False,))]
        deadline = time.monotonic() + seconds
        for data in cycle(units):
            for half in halves:
                half.send(data)
            if time.monotonic() > deadline:
                break
    plain = halves[-1]
    return PacketCosts(
        profile.name,
        halves[0].per_packet("packetize", viewers=1),
        halves[0].per_packet("copy"),
        halves[0].per_packet("protect"),
        halves[0].per_packet("send") if gso else None,
        plain.per_packet("send"),
    )


def _sink() -> socket.socket:
    sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)  # the kernel's least
    sink.bind(("127.0.0.1", 0))
    return sink


class _Course:
    """Sends units to a number of viewers and keeps how long each part took, nanoseconds."""

    def __init__(
        self, profile: aiortc_private.SrtpProfile, sinks: Sequence[socket.socket], sender: socket.socket, *, gso: bool
    ) -> None:
        self._sender = sender
        self._gso = gso
        self._scratch = Scratch()
        self._class = ViewerClass(StreamFormat(96, EXTENSIONS, "0", profile.tag_length))
        keys = (os.urandom(profile.key_length) for _ in sinks)
        self._viewers = [(profile.session(key), sink.getsockname()) for key, sink in zip(keys, sinks, strict=True)]
        self._sequence = 1
        self._packets = 0  # of the units, not counted again for each viewer
        self._spent = {"packetize": 0, "copy": 0, "protect": 0, "send": 0}
        self._clock_ns = _clock_cost()
        self._readings = dict.fromkeys(self._spent, 0)

    def per_packet(self, part: str, viewers: int = 0) -> float:
        """Microseconds, without what reading the clock took."""
        spent = self._spent[part] - self._readings[part] * self._clock_ns
        return max(0.0, spent / (self._packets * (viewers or len(self._viewers))) / 1000)

    def send(self, data: bytes) -> None:
        """One unit, to every viewer."""
        begun = time.thread_time_ns()
        template = Template(data, packetize(data), self._class, full=False, capture_ntp=0, scratch=self._scratch)
        self._took("packetize", time.thread_time_ns() - begun)
        self._packets += template.count
        for session, address in self._viewers:
            self._send(template, session, address)
        self._sequence += template.count

    def _send(self, template: Template, session: aiortc_private.OutboundSrtp, address: tuple[str, int]) -> None:
        scratch, clock, sequence = self._scratch, time.thread_time_ns, self._sequence
        for run in template.runs:
            begun = clock()
            size = run.end - run.begin
            scratch.view[:size] = template.view[run.begin : run.end]
            scratch.lengths[: len(run.lengths)] = run.lengths
            for at in run.fields:
                OWN_FIELDS.pack_into(scratch.view, at, sequence & 0xFFFF, 7, 9)
                sequence += 1
            copied = clock()
            scratch.protect(session.context, run.pointers)
            protected = clock()
            if self._gso:
                self._sender.sendmsg((scratch.view[:size],), run.control if run.count > 1 else (), 0, address)
            else:
                for begin in range(0, size, run.stride):
                    self._sender.sendto(scratch.view[begin : min(begin + run.stride, size)], address)
            sent = clock()
            self._took("copy", copied - begun)
            self._took("protect", protected - copied)
            self._took("send", sent - protected)

    def _took(self, part: str, nanoseconds: int) -> None:
        self._spent[part] += nanoseconds
        self._readings[part] += 1


def _clock_cost() -> float:
    """Nanoseconds between two readings of the thread's clock, in the best of some."""
    readings = [time.thread_time_ns() for _ in range(200)]
    return min(later - earlier for earlier, later in zip(readings, islice(readings, 1, None), strict=False))
