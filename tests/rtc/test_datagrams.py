"""Sockets on a loop that has much else to do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from edgecam.rtc.ice.datagrams import AT_ONCE, SELDOM, DatagramSocket

TURN = 0.03  # seconds that each turn of the loop takes: a small machine, or an emulated one
SPEECH = 0.02  # seconds between two packets of a viewer who talks


@contextlib.contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A socket to receive with, and one that is connected to it."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here,
    ):
        there.bind(("127.0.0.1", 0))
        there.setblocking(False)
        here.connect(there.getsockname())
        yield there, here


def test_speech_that_comes_faster_than_the_loop_turns_does_not_wait_longer_and_longer() -> None:
    ages: list[float] = []
    over = threading.Event()

    async def main(there: socket.socket) -> None:
        listening = DatagramSocket(there, lambda data, _source: ages.append(time.monotonic() - float(data)))
        while not over.is_set():
            time.sleep(TURN)  # noqa: ASYNC251 - the point of it
            await asyncio.sleep(0)
        listening.close()

    with pair() as (there, here):

        def talk() -> None:
            for _ in range(200):
                here.send(str(time.monotonic()).encode())
                time.sleep(SPEECH)
            over.set()

        talking = threading.Thread(target=talk)
        talking.start()
        asyncio.run(main(there))
        talking.join()
    assert len(ages) > 190
    assert max(ages) < 30 * TURN  # where each turn reads one, a quarter of them still waits in the end


@pytest.mark.parametrize("waiting", [1, SELDOM, 500])
def test_whoever_floods_a_socket_has_a_few_datagrams_read_at_a_time(waiting: int) -> None:
    turns: list[int] = []

    async def main(there: socket.socket) -> None:
        read: list[bytes] = []
        listening = DatagramSocket(there, lambda data, _source: read.append(data))
        async with asyncio.timeout(5):
            while len(read) < waiting:
                before = len(read)
                await asyncio.sleep(0)
                turns.append(len(read) - before)
        listening.close()

    with pair() as (there, here):
        there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        for _ in range(waiting):
            here.send(b"x")
        asyncio.run(main(there))
    assert max(turns) <= AT_ONCE
    assert sum(turns) == waiting


def test_a_socket_that_is_closed_by_what_it_received_is_read_no_more() -> None:
    read: list[bytes] = []

    async def main(there: socket.socket) -> None:
        def received(data: bytes, _source: object) -> None:
            read.append(data)
            if len(read) == SELDOM:
                listening.close()

        listening = DatagramSocket(there, received)
        async with asyncio.timeout(5):
            while not listening.is_closing():  # noqa: ASYNC110 - each turn of the loop is what is wanted
                await asyncio.sleep(0)

    with pair() as (there, here):
        for _ in range(SELDOM + 3):
            here.send(b"x")
        asyncio.run(main(there))
    assert len(read) == SELDOM
