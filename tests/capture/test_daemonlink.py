"""A daemon that does not read, seen from the capture process: drops are clean and counted."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from edgecam.capture import wire
from edgecam.capture.daemonlink import DaemonLink
from edgecam.capture.encodeloop import Demands, EncodeLoop
from edgecam.capture.frames import LatestFrame
from edgecam.capture.wire import Kind, MessageBuffer
from tests.capture.test_encoder import busy_pictures, chosen
from tests.capture.watching import decode


class Reader:
    """The daemon's end: reads everything that is there, when told to."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._messages = MessageBuffer()

    def read(self) -> list[tuple[bool, bytes]]:
        units: list[tuple[bool, bytes]] = []
        while True:
            try:
                count = self._sock.recv_into(self._messages.free(), 0, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return units
            for kind, payload in self._messages.received(count):
                assert kind is Kind.UNIT
                keyframe, _rendition, _captured_ns, data = wire.decode_unit(payload)
                units.append((keyframe, data))


@pytest.fixture
def pair() -> Iterator[tuple[DaemonLink, Reader]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield DaemonLink(ours), Reader(theirs)


def test_after_a_gap_comes_a_keyframe_and_everything_sent_decodes(pair: tuple[DaemonLink, Reader]) -> None:
    link, reader = pair
    loop = EncodeLoop(LatestFrame(), [chosen()], link, Demands())
    pictures = busy_pictures(640, 480)
    number = 0
    while loop.report().units_dropped < 10:  # until the socket is full, and on
        loop.encode(next(pictures), 10**12 + number * 33_333_333)
        number += 1
        assert number < 5000
    before, after = reader.read(), []
    for _ in range(20):
        loop.encode(next(pictures), 10**12 + number * 33_333_333)
        number += 1
        after += reader.read()  # each time: how long a slow machine takes for all of them is no matter
    report = loop.report()
    assert report.units_encoded == number
    assert report.units_dropped == number - len(before) - len(after)
    assert len(after) == 20
    assert [keyframe for keyframe, _data in after] == [True] + [False] * 19
    assert len(decode(data for _keyframe, data in before)) == len(before)
    assert len(decode(data for _keyframe, data in after)) == 20


def test_a_unit_larger_than_the_socket_is_finished_before_the_next_message(pair: tuple[DaemonLink, Reader]) -> None:
    link, reader = pair
    huge = bytes(3 << 20)
    assert link.unit(huge, True, 1)
    assert not link.unit(b"next", False, 2)
    assert not link.caught_up()
    received = reader.read()
    while not link.caught_up():
        link.unit(b"later", True, 3)
        received += reader.read()
    assert received[0] == (True, huge)
    assert {data for _keyframe, data in received[1:]} <= {b"later"}
