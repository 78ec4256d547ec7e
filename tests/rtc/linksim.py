"""A camera, a link and a viewer in a loop, in simulated time: milliseconds instead of minutes, and the same every time."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from edgecam.rtc.congestion import LinkEstimate

LADDER = (250_000, 700_000, 2_000_000)  # bit/s of the renditions
TICK = 0.001
PACKET = 1200  # octets
KEYFRAME = 3.0  # times a usual unit
HOPELESS_MS = 3000.0


@dataclass
class Sample:
    at: float
    queue_ms: float  # of the real queue
    sent_bps: float  # over the last second
    rendition: int
    available: int
    picture_gap: float  # seconds since a unit last arrived whole


@dataclass
class Loop:
    """`report_every` seconds the viewer reports; REMB as `remb(now)` says, None for never."""

    rate_bps: float = 4e6
    queue_ms: float = 1000.0
    delay: float = 0.010
    jitter: float = 0.0
    loss: float = 0.0
    report_every: float = 0.2
    remb: Callable[[float], int | None] = lambda _now: None
    ladder: tuple[int, ...] = LADDER
    now: float = 100.0
    samples: list[Sample] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(7)
        self.link = LinkEstimate(2_000_000, self.now)
        self.sequence = 1000
        self.octets = 0
        self.rendition = len(self.ladder) - 1
        self.keyframe = True
        self.holding = False
        self._queue: deque[tuple[int, int, bool]] = deque()  # (sequence, negative for padding; octets; marker)
        self._queued = 0
        self._credit = 0.0
        self._air: deque[tuple[float, int, bool]] = deque()
        self._reports: deque[tuple[float, int, int, int, int]] = deque()
        self._highest = self._received = 0
        self._padding_highest = self._padding_received = self.padding_sent = 0
        self._first = self.sequence
        self._next_unit = self._next_report = self.now
        self._last_picture = self.now
        self._sent: deque[tuple[float, int]] = deque()

    # the camera

    def _unit(self) -> None:
        link, now = self.link, self.now
        if now < link.hold_until:
            self.holding = True
            return
        wanted = max((i for i, bps in enumerate(self.ladder) if bps <= link.available_bps), default=0)
        if wanted != self.rendition or self.holding:
            self.rendition, self.keyframe, self.holding = wanted, True, False
        size = self.ladder[self.rendition] / 30 / 8 * self.random.uniform(0.7, 1.3)
        if self.keyframe:
            size *= KEYFRAME
            self.keyframe = False
        left = int(size)
        while left > 0:
            part = min(PACKET, left)
            left -= part
            self._send(self.sequence, part, left == 0)
            self.sequence += 1
        link.sent(self.sequence, self.octets, now)
        if link.probing.goal_bps:
            padding = link.padding(now)
            while padding > 0:
                self.padding_sent += 1
                self._send(-self.padding_sent, min(PACKET, padding), False)
                padding -= PACKET
            link.sent(self.sequence, self.octets, now)

    def _send(self, sequence: int, octets: int, marker: bool) -> None:
        self.octets += octets
        self._sent.append((self.now, octets))
        if self._queued * 8000 / self.rate_bps < self.queue_ms:
            self._queue.append((sequence, octets, marker))
            self._queued += octets

    # the link and the viewer

    def _carry(self) -> None:
        self._credit = (
            min(self._credit + self.rate_bps * TICK / 8, PACKET)
            if not self._queue
            else self._credit + self.rate_bps * TICK / 8
        )
        while self._queue and self._credit >= self._queue[0][1]:
            sequence, octets, marker = self._queue.popleft()
            self._credit -= octets
            self._queued -= octets
            if self.random.random() < self.loss:
                continue
            due = self.now + self.delay + self.random.uniform(0, self.jitter)
            if self._air:
                due = max(due, self._air[-1][0])
            self._air.append((due, sequence, marker))
        while self._air and self._air[0][0] <= self.now:
            _, sequence, marker = self._air.popleft()
            if sequence < 0:
                self._padding_highest, self._padding_received = -sequence, self._padding_received + 1
            else:
                self._highest, self._received = max(self._highest, sequence), self._received + 1
                if marker:
                    self._last_picture = self.now

    def _report(self) -> None:
        if self._highest:
            lost = self._highest - self._first + 1 - self._received
            padding = (self._padding_highest, self._padding_highest - self._padding_received)
            self._reports.append((self.now + self.delay, self._highest, lost, *padding))

    def _hear(self) -> None:
        while self._reports and self._reports[0][0] <= self.now:
            _, highest, lost, padding_highest, padding_lost = self._reports.popleft()
            bps = self.remb(self.now)
            if bps is not None:
                self.link.bandwidth(bps, self.now)
            self.link.repaired(padding_highest, padding_lost)
            self.link.reported(highest & 0xFFFF, lost, self.now)

    def run(self, seconds: float) -> list[Sample]:
        """Go on so long; the samples of that time, one per 50 ms."""
        begun = len(self.samples)
        end = self.now + seconds
        step = 0
        while self.now < end:
            self.now += TICK
            step += 1
            if self.now >= self._next_unit:
                self._next_unit += 1 / 30
                self._unit()
            self._carry()
            if self.now >= self._next_report:
                self._next_report += self.report_every
                self._report()
            self._hear()
            if step % 50 == 0:
                self._sample()
        return self.samples[begun:]

    def _sample(self) -> None:
        while self._sent and self._sent[0][0] < self.now - 1:
            self._sent.popleft()
        sent = sum(octets for _, octets in self._sent) * 8
        queue = self._queued * 8000 / self.rate_bps
        self.samples.append(
            Sample(self.now, queue, sent, self.rendition, self.link.available_bps, self.now - self._last_picture)
        )
