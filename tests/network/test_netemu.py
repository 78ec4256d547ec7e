"""The cable does what it says: otherwise every test on it proves nothing."""

from __future__ import annotations

import socket
import statistics
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.network.cable import CAMERA_ADDRESS, FAR_ADDRESS, Impaired, impaired_link
from tests.network.far import IN_TIME_MS, judged

pytestmark = pytest.mark.alone

PAYLOAD = 1000  # bytes
SO_TIMESTAMPNS = 35  # asm-generic/socket.h: the kernel says when a datagram came, however late it is read
FRAME = PAYLOAD + 8 + 20 + 14  # with UDP, IP and Ethernet


@pytest.fixture
def link() -> Iterator[Impaired]:
    with impaired_link() as made:
        yield made


class Line:
    """Numbered and timed datagrams from the camera to the far machine."""

    def __init__(self, link: Impaired) -> None:
        with link.camera.inside():
            self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.sender.bind((CAMERA_ADDRESS, 0))
        with link.far.inside():
            self.receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.receiver.bind((FAR_ADDRESS, 0))
        self.receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
        self.receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.receiver.settimeout(1.0)
        self.send(0)  # finds out who is there (ARP), so that the next datagram need not
        assert self.receive()[0] == 0

    def send(self, number: int) -> None:
        data = struct.pack("!Id", number, time.time()).ljust(PAYLOAD, b"\0")
        self.sender.sendto(data, self.receiver.getsockname())

    def receive(self) -> tuple[int, float]:
        """(its number, how long it took in ms)"""
        data, ((_, _, arrived),), _, _ = self.receiver.recvmsg(2000, 100)
        number, sent = struct.unpack_from("!Id", data)
        seconds, nanoseconds = struct.unpack("qq", arrived)
        return number, (seconds + nanoseconds / 1e9 - sent) * 1000

    def close(self) -> None:
        self.sender.close()
        self.receiver.close()


@pytest.fixture
def line(link: Impaired) -> Iterator[Line]:
    made = Line(link)
    yield made
    made.close()


def arrivals(line: Line, patience: float = 0.3) -> list[tuple[int, float]]:
    """Whatever comes until nothing comes."""
    found = []
    line.receiver.settimeout(patience)
    try:
        while True:
            found.append(line.receive())
    except TimeoutError:
        return found


def test_a_perfect_cable_adds_less_than_a_millisecond(link: Impaired, line: Line) -> None:
    times = []
    for number in range(200):
        line.send(number)
        times.append(line.receive()[1])
    assert statistics.median(times) < 1.0


def test_delay_is_added_both_ways_and_jitter_keeps_order(link: Impaired, line: Line) -> None:
    link.cable.both(delay_ms=40, jitter_ms=15)
    for number in range(100):
        line.send(number)
        time.sleep(0.003)
    got = arrivals(line)
    assert [number for number, _ in got] == list(range(100))
    took = [each for _, each in got]
    assert min(took) > 24.9
    assert max(took) < 60
    assert statistics.pstdev(took) > 2


def test_rate_spaces_packets_and_the_gauge_shows_what_they_wait(link: Impaired, line: Line) -> None:
    link.cable.set(out={"rate_kbps": 1000, "queue_packets": 1000})
    for number in range(60):
        line.send(number)
    queued, _ = link.cable.read()
    got = arrivals(line)
    last = got[-1]
    expected = 60 * FRAME * 8 / 1000  # ms
    assert last[0] == 59
    assert last[1] == pytest.approx(expected, abs=15)
    assert queued.queueing_ms_max == pytest.approx(expected, rel=0.1)
    assert link.cable.read()[0].queueing_ms == 0


@pytest.mark.parametrize(
    ("queue", "passed"),
    [({"queue_packets": 10}, 10), ({"queue_ms": 100}, 13)],  # a frame takes 8.3 ms at 1 Mbit/s
)
def test_a_full_queue_drops_the_newest(link: Impaired, line: Line, queue: dict[str, float], passed: int) -> None:
    link.cable.set(out={"rate_kbps": 1000, **queue})
    for number in range(100):
        line.send(number)
    got = [number for number, _ in arrivals(line)]
    assert got[:8] == list(range(8))
    assert passed <= len(got) <= passed + 3
    assert link.cable.read()[0].overflowed == 100 - len(got)


def test_a_faster_link_takes_what_still_waits_at_its_new_rate(link: Impaired, line: Line) -> None:
    link.cable.set(out={"rate_kbps": 100})
    for number in range(30):  # 2.5 s at this rate
        line.send(number)
    link.cable.set(out={"rate_kbps": 10_000})
    got = arrivals(line)
    assert len(got) == 30
    assert got[-1][1] < 500


def test_loss_is_random_and_as_often_as_said(link: Impaired, line: Line) -> None:
    link.cable.set(out={"loss": 0.2})
    for number in range(1500):
        line.send(number)
        if number % 50 == 0:
            time.sleep(0.002)
    got = len(arrivals(line))
    assert 0.76 < got / 1500 < 0.84
    out, _ = link.cable.read()
    assert out.lost == 1500 - got


def test_a_cut_cable_carries_nothing_and_a_mended_one_everything(link: Impaired, line: Line) -> None:
    link.cable.both(cut=True)
    line.send(1)
    assert arrivals(line) == []
    link.cable.both(cut=False)
    line.send(2)
    assert [number for number, _ in arrivals(line)] == [2]


@dataclass(frozen=True, slots=True)
class Passed:
    sent: int
    took: list[float]  # ms, of each that came
    late_ms: float  # the cable itself


def in_time(seen: Passed) -> None:
    assert len(seen.took) == seen.sent
    assert statistics.median(seen.took) < 30
    assert seen.late_ms < IN_TIME_MS, "the cable itself was late"


def test_fifty_megabits_pass_in_time_while_the_machine_is_busy(link: Impaired, line: Line) -> None:
    link.cable.set(out={"delay_ms": 20, "rate_kbps": 60_000})

    def measure() -> Passed:
        got: list[tuple[int, float]] = []
        link.cable.read()
        end = time.monotonic() + 1.0
        sent, started = 0, time.monotonic()
        line.receiver.setblocking(False)
        while time.monotonic() < end:  # this loop is what keeps a processor busy
            while sent * FRAME * 8 < (time.monotonic() - started) * 50e6:
                line.send(sent)
                sent += 1
            try:
                got.append(line.receive())
            except BlockingIOError:
                continue
        got += arrivals(line)
        return Passed(sent, [took for _, took in got], link.cable.read()[0].late_ms)

    judged(measure, in_time, lambda seen: seen.late_ms)
