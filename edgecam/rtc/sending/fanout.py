"""What all viewers of one camera share in sending: packetised units, their history, the pacing timer, the delays."""

from __future__ import annotations

import random
import time
from collections import deque
from weakref import WeakValueDictionary

from edgecam.media.packetize import Payload, packetize
from edgecam.media.types import AccessUnit
from edgecam.media.wallclock import WallClock
from edgecam.rtc.extensions import DESCRIBE_EVERY_NS, PlayoutDelay
from edgecam.rtc.sending.delays import SendDelays
from edgecam.rtc.sending.lockstep import Lockstep
from edgecam.rtc.sending.pacer import Pacer
from edgecam.rtc.sending.scratch import Scratch
from edgecam.rtc.sending.selftest import Capabilities
from edgecam.rtc.sending.sound import SoundFanOut
from edgecam.rtc.sending.template import StreamFormat, Template, ViewerClass
from edgecam.rtc.totals import Totals

# What stays available for retransmission: at 2 Mbit/s 2.4 MB, nine seconds.
HISTORY_PACKETS = 2048
HISTORY_NS = 1_000_000_000


class PacketizedUnit:
    """An access unit cut into payloads, for all viewers. `data` is empty once the unit has left the history."""

    __slots__ = ("captured_ns", "data", "full", "payloads", "received_ns", "sequence", "templates", "timestamp")

    def __init__(self, unit: AccessUnit, *, full: bool, sequence: int, timestamp: int) -> None:
        self.data = unit.data
        self.payloads: list[Payload] = packetize(unit.data)
        self.full = full  # whether its packets carry the full extension block
        self.captured_ns = unit.captured_ns
        self.received_ns = unit.received_ns
        self.sequence = sequence  # of its first packet, neither wrapped nor shifted
        self.timestamp = timestamp
        self.templates: dict[ViewerClass, Template] = {}


class FanOut:
    """One per camera, for as long as the daemon runs."""

    def __init__(self, clock: WallClock, *, playout: PlayoutDelay | None = None) -> None:
        self.clock = clock
        self.capabilities = Capabilities(usable=True, gso=True)  # until the self-test says otherwise
        self.playout = playout
        self.sound = SoundFanOut(clock)
        self.delays = SendDelays()
        self.totals = Totals()
        self.pacer = Pacer()
        self.lockstep = Lockstep(self)
        self.scratch = Scratch()
        # Peers choose what is in a format: a class lives as long as a viewer of it.
        self._classes: WeakValueDictionary[tuple[StreamFormat, int], ViewerClass] = WeakValueDictionary()
        # Every viewer has keys of its own, so that all may have the same SSRCs and numbers: what is the same need not be written
        # into each viewer's packets.
        self.ssrc, self.rtx_ssrc = random.sample(range(1, 1 << 32), 2)
        self.origin = random.getrandbits(32)  # of RTP timestamps
        self._upcoming: dict[int, int] = {}  # sequence number of each rendition's next packet
        self.newest: AccessUnit | None = None  # and the same in payloads
        self.newest_packetized: PacketizedUnit
        self._history: deque[PacketizedUnit] = deque()
        self._by_data: dict[int, PacketizedUnit] = {}  # id() of the bytes: the history keeps them alive
        self._packets = 0  # in the history
        self._described_ns = 0

    def viewer_class(self, stream: StreamFormat, shift: int = 0) -> ViewerClass:
        """The one class of viewers with that format and shift."""
        return self._classes.setdefault((stream, shift), ViewerClass(stream, shift))

    def packetized(self, unit: AccessUnit) -> PacketizedUnit:
        """The unit in payloads, made by the first viewer that asks; also of a unit that is sent once more."""
        if unit is self.newest:
            return self.newest_packetized
        packetized = self._by_data.get(id(unit.data)) or self._packetize(unit)
        self.newest, self.newest_packetized = unit, packetized
        return packetized

    def template(self, packetized: PacketizedUnit, viewers: ViewerClass) -> Template:
        """The unit in packets of that class, made by the first viewer of the class that asks."""
        template = packetized.templates.get(viewers)
        if template is None:
            template = packetized.templates[viewers] = Template(
                packetized.data,
                packetized.payloads,
                viewers,
                full=packetized.full,
                capture_ntp=self.clock.ntp(packetized.captured_ns),
                scratch=self.scratch,
                own=(packetized.sequence + viewers.shift & 0xFFFF, packetized.timestamp, self.ssrc),
            )
        return template

    def erase(self) -> None:
        """Keep nothing of what was sent; sequence numbers and timestamps go on."""
        self.newest = None
        for each in self._history:
            each.data = b""
            each.templates.clear()
        self._history.clear()
        self._by_data.clear()
        self._packets = 0

    def _packetize(self, unit: AccessUnit) -> PacketizedUnit:
        full = unit.keyframe or unit.captured_ns - self._described_ns >= DESCRIBE_EVERY_NS
        if full:
            self._described_ns = unit.captured_ns
        sequence = self._upcoming.get(unit.rendition) or random.randrange(1, 1 << 15)
        packetized = PacketizedUnit(unit, full=full, sequence=sequence, timestamp=unit.timestamp + self.origin & 0xFFFFFFFF)
        self._upcoming[unit.rendition] = sequence + len(packetized.payloads)
        if self._history:
            # Whoever still has packets of the unit before to send holds its template.
            self._history[-1].templates.clear()
        self._history.append(packetized)
        self._by_data[id(unit.data)] = packetized
        self._packets += len(packetized.payloads)
        self._forget(time.monotonic_ns())
        return packetized

    def _forget(self, now_ns: int) -> None:
        history = self._history
        while self._packets - len(history[0].payloads) >= HISTORY_PACKETS and now_ns - history[0].received_ns > HISTORY_NS:
            oldest = history.popleft()
            self._packets -= len(oldest.payloads)
            del self._by_data[id(oldest.data)]
            oldest.data = b""
            oldest.templates.clear()
