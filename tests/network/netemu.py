"""A cable between two machines as a process of its own: delay, jitter, loss, rate, a bounded queue, cuts.

`python -m tests.network.netemu LEFT IFACE RIGHT IFACE` makes a TAP interface in each network namespace and carries
Ethernet frames between them. Each line on standard input is a JSON object {"a2b": {...}, "b2a": {...}} of `Wire` fields
to change, possibly empty; each is answered by one line with what both directions have carried. The end of the input
ends the process, and the interfaces with it.

A frame first waits for the link (rate, queue), then may be lost (in the air, so it has cost its time on the link),
then travels (delay, jitter). The process is scheduled before all others, so that a busy machine is not a bad cable;
`late_ms` says how late it was all the same.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import json
import os
import random
import select
import struct
import sys
import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

CLONE_NEWNET = 0x40000000  # setns(2)
TUNSETIFF = 0x400454CA  # linux/if_tun.h
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
LONGEST_FRAME = 65536
BATCH = 64  # frames read from one side before the other gets its turn
IDLE = 3600.0  # seconds


@dataclass(frozen=True, slots=True)
class Wire:
    """One direction. Zero: no delay, no jitter, no loss, any rate."""

    delay_ms: float = 0.0
    jitter_ms: float = 0.0  # up to so much more or less delay per frame; order is kept
    loss: float = 0.0  # 0..1, each frame by itself
    rate_kbps: float = 0.0
    queue_packets: int = 1000  # waiting for the link; further ones are dropped
    queue_ms: float = 0.0  # the same as time; 0: only packets count
    cut: bool = False  # nothing gets through


@dataclass(slots=True)
class Carried:
    """What one direction has done since the beginning; `*_max` and `late_ms`: worst since they were last read."""

    packets: int = 0
    bytes: int = 0
    lost: int = 0  # by chance or cut
    overflowed: int = 0  # because the queue was full
    queueing_ms: float = 0.0  # how long a frame that came now would wait for the link
    queueing_ms_max: float = 0.0
    queued_packets: int = 0
    late_ms: float = 0.0  # between when a frame was due and when it was handed over


class Direction:
    """Frames in by `push`, out into the file descriptor `out` by `carry`. Times are CLOCK_MONOTONIC seconds."""

    def __init__(self, out: int, seed: int) -> None:
        self.wire = Wire()
        self.carried = Carried()
        self._out = out
        self._random = random.Random(seed)
        self._waiting: deque[bytes] = deque()  # for the link; the first one is being sent
        self._waiting_bits = 0
        self._free = 0.0  # when the link will have sent the first of them
        self._travelling: deque[tuple[float, bytes]] = deque()  # (due, frame)

    def change(self, now: float, fields: dict[str, Any]) -> None:
        self.carry(now)
        self.wire = replace(self.wire, **fields)
        if self._waiting:
            self._free = now + self._seconds(self._waiting[0])

    def push(self, frame: bytes, now: float) -> None:
        wire = self.wire
        if wire.cut:
            self.carried.lost += 1
            return
        if not wire.rate_kbps and not self._waiting:
            self._travel(frame, now)
            return
        if len(self._waiting) >= wire.queue_packets or (wire.queue_ms and self.queueing_ms(now) > wire.queue_ms):
            self.carried.overflowed += 1
            return
        if not self._waiting:
            self._free = now + self._seconds(frame)
        self._waiting.append(frame)
        self._waiting_bits += len(frame) * 8
        self.carried.queueing_ms_max = max(self.carried.queueing_ms_max, self.queueing_ms(now))

    def queueing_ms(self, now: float) -> float:
        if not self._waiting or not self.wire.rate_kbps:
            return 0.0
        later = self._waiting_bits - len(self._waiting[0]) * 8
        return max(0.0, self._free - now) * 1000 + later / self.wire.rate_kbps

    def carry(self, now: float) -> float:
        """Move what is due; returns when to come again."""
        while self._waiting and self._free <= now:
            frame = self._waiting.popleft()
            self._waiting_bits -= len(frame) * 8
            self._travel(frame, self._free)
            if self._waiting:
                self._free += self._seconds(self._waiting[0])
        travelling = self._travelling
        while travelling and travelling[0][0] <= now:
            due, frame = travelling.popleft()
            self._hand_over(due, frame)
        link = self._free if self._waiting else now + IDLE
        return min(link, travelling[0][0]) if travelling else link

    def read(self, now: float) -> Carried:
        counted = self.carried
        counted.queueing_ms, counted.queued_packets = self.queueing_ms(now), len(self._waiting)
        self.carried = replace(counted, queueing_ms_max=counted.queueing_ms, late_ms=0.0)
        return counted

    def _seconds(self, frame: bytes) -> float:
        return len(frame) * 8 / (self.wire.rate_kbps * 1000) if self.wire.rate_kbps else 0.0

    def _travel(self, frame: bytes, sent: float) -> None:
        wire = self.wire
        if wire.loss and self._random.random() < wire.loss:
            self.carried.lost += 1
            return
        due = sent + (wire.delay_ms + self._random.uniform(-1, 1) * wire.jitter_ms) / 1000
        if self._travelling:
            due = max(due, self._travelling[-1][0])
        self._travelling.append((due, frame))

    def _hand_over(self, due: float, frame: bytes) -> None:
        try:
            os.write(self._out, frame)
        except OSError:  # the interface is down, or its machine reads nothing
            self.carried.lost += 1
            return
        self.carried.packets += 1
        self.carried.bytes += len(frame)
        self.carried.late_ms = max(self.carried.late_ms, (time.monotonic() - due) * 1000)


def open_tap(namespace: str, interface: str) -> int:
    """A new TAP interface in that network namespace (a name in /run/netns); gone when the descriptor is closed."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(Path("/run/netns") / namespace, os.O_RDONLY)
    try:
        if libc.setns(there, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns", namespace)
        tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", interface.encode(), IFF_TAP | IFF_NO_PI))
    finally:
        libc.setns(home, CLONE_NEWNET)
        os.close(home)
        os.close(there)
    return tap


def _go_first() -> None:
    """Before every other process, and without pauses of our own making."""
    gc.disable()
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        os.nice(-10)


def _serve(left: int, right: int) -> None:
    a2b, b2a = Direction(right, seed=1), Direction(left, seed=2)
    sides = {left: a2b, right: b2a}
    commands, unread = sys.stdin.fileno(), b""
    again = 0.0
    while True:
        wait = max(0.0, again - time.monotonic())
        ready, _, _ = select.select([left, right, commands], [], [], wait)  # epoll would round up to milliseconds
        for tap, direction in sides.items():
            if tap in ready:
                _read_frames(tap, direction)
        if commands in ready:
            received = os.read(commands, 65536)
            if not received:
                return
            *lines, unread = (unread + received).split(b"\n")
            for line in lines:
                _answer(json.loads(line), a2b, b2a)
        now = time.monotonic()
        again = min(a2b.carry(now), b2a.carry(now))


def _read_frames(tap: int, direction: Direction) -> None:
    now = time.monotonic()
    for _ in range(BATCH):
        try:
            direction.push(os.read(tap, LONGEST_FRAME), now)
        except OSError:  # nothing more, or the interface is down
            return


def _answer(change: dict[str, dict[str, Any]], a2b: Direction, b2a: Direction) -> None:
    now = time.monotonic()
    for name, direction in (("a2b", a2b), ("b2a", b2a)):
        if fields := change.get(name):
            direction.change(now, fields)
    counted = {"a2b": a2b.read(now), "b2a": b2a.read(now)}
    told = {name: {field: getattr(c, field) for field in Carried.__slots__} for name, c in counted.items()}
    print(json.dumps(told), flush=True)


def main() -> None:
    left_namespace, left_interface, right_namespace, right_interface = sys.argv[1:]
    left, right = open_tap(left_namespace, left_interface), open_tap(right_namespace, right_interface)
    _go_first()
    print("ready", flush=True)
    _serve(left, right)


if __name__ == "__main__":
    main()
