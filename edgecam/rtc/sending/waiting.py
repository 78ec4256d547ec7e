"""A unit of which packets are left to send."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecam.rtc.sending.template import Run, Template

if TYPE_CHECKING:
    from edgecam.rtc.sending.fanout import PacketizedUnit

# What may wait for its turn. Beyond either, the viewer's link does not carry the stream.
MAX_WAITING = 1000  # packets
MAX_WAITING_NS = 500_000_000


class Waiting:
    """`following` is the index of the next packet; `received_ns` is 0 for a unit that was replayed: its delay is not ours."""

    __slots__ = ("following", "keyframe", "packetized", "received_ns", "since_ns", "template", "timestamp")

    def __init__(
        self, template: Template, packetized: PacketizedUnit, timestamp: int, now_ns: int, received_ns: int, *, keyframe: bool
    ) -> None:
        self.template = template
        self.packetized = packetized
        self.timestamp = timestamp
        self.following = 0
        self.since_ns = now_ns
        self.received_ns = received_ns
        self.keyframe = keyframe

    @property
    def packets(self) -> int:
        """How many are left."""
        return self.template.count - self.following

    def part(self, most: int) -> Run:
        """The next of them that one send can carry, at most so many."""
        run = next(run for run in reversed(self.template.runs) if run.first <= self.following)
        return run.part(self.following - run.first, most)
