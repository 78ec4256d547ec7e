"""A UDP socket on the event loop, for datagrams that are few and small.

asyncio's own transport takes room for 256 KiB for every datagram that it reads, which costs more than what is then done with
most of them: receiver reports and consent checks of some hundred viewers.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from edgecam.rtc.ice.traffic import SENT, UDP_HEADER, ip_header

LARGEST = 1 << 16  # bytes: no UDP datagram is longer
# Whether more datagrams wait is looked after each so many, as a look that finds nothing costs a quarter of what a report does; after
# each while there are more. On a slow machine's loop a viewer's speech comes faster than one for each of its turns: what waits behind
# it, consent too, would be older and older.
SELDOM = 8
AT_ONCE = 4  # datagrams: others have their turn then, whoever floods this socket
# One piece of memory for all of them: what has been received is copied out of it at once.
_MEMORY = memoryview(bytearray(LARGEST))


class DatagramSocket:
    """Owns `sock`, bound and non-blocking. `received(data, source)` is called for each datagram. What cannot be sent is lost,
    as on the way; unreachable peers are not told of: checks find out by themselves, consent too."""

    __slots__ = ("_loop", "_received", "_sock", "_until_look")

    def __init__(self, sock: socket.socket, received: Callable[[bytes, tuple[Any, ...]], None]) -> None:
        self._sock = sock
        self._received = received
        self._until_look = SELDOM
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._readable)

    def sendto(self, data: bytes | memoryview, address: tuple[str, int]) -> None:
        with suppress(OSError):  # full, closed, or an ICMP error of an earlier one
            self._sock.sendto(data, address)
            SENT.octets += len(data) + UDP_HEADER + ip_header(address[0])

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`socket` and `sockname`, as asyncio's transports tell them."""
        if self._sock.fileno() < 0:
            return default
        return self._sock if name == "socket" else self._sock.getsockname() if name == "sockname" else default

    def is_closing(self) -> bool:
        return self._sock.fileno() < 0

    def close(self) -> None:
        """Idempotent; nothing is received any more."""
        descriptor = self._sock.fileno()
        if descriptor >= 0:
            self._loop.remove_reader(descriptor)
            self._sock.close()

    def _readable(self) -> None:
        self._until_look -= 1
        if self._until_look > 0:
            self._read()
            return
        left = AT_ONCE
        while left and self._read():
            left -= 1
        self._until_look = 1 if left < AT_ONCE - 1 else SELDOM

    def _read(self) -> bool:
        try:
            size, source = self._sock.recvfrom_into(_MEMORY)
        except OSError:  # nothing there, closed meanwhile, or an ICMP error of what was sent
            return False
        self._received(bytes(_MEMORY[:size]), source)
        return True
