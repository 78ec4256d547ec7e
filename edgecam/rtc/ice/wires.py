"""How a TURN server is reached: UDP, TCP or TLS. Each wire carries whole STUN messages and ChannelData (RFC 8656 section 12.5)."""

from __future__ import annotations

import asyncio
import socket
import ssl
from struct import unpack_from
from typing import Any, Protocol

from edgecam.rtc.ice.endpoints import RECEIVE_BUFFER
from edgecam.rtc.ice.servers import Server
from edgecam.rtc.ice.stun import Address
from edgecam.rtc.ice.traffic import SENT, TCP_HEADER, TLS_RECORD, UDP_HEADER, ip_header

CONNECT_TIMEOUT = 4.0  # seconds for TCP and TLS
MAX_UNSENT = 512 * 1024  # bytes; what a slow TCP connection does not take is dropped, as UDP would


class WireUser(Protocol):
    def wire_received(self, data: bytes) -> None:
        """A whole message."""

    def wire_lost(self, error: Exception | None) -> None:
        """The server cannot be reached over this wire any more."""


class Wire:
    """An open wire. `user` gets what comes."""

    retransmits = False  # whether STUN has to repeat its requests

    def __init__(self, user: WireUser) -> None:
        self._user = user
        self.transport: Any = None
        self.overhead = 0  # bytes of headers in front of what is sent at once

    @property
    def local(self) -> str:
        """This machine's address at its end."""
        name = self.transport.get_extra_info("sockname")
        return str(name[0]).partition("%")[0] if name else ""

    def send(self, data: bytes) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self.transport.close()


class _UdpWire(Wire, asyncio.DatagramProtocol):
    retransmits = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, _source: Any) -> None:
        if data:
            self._user.wire_received(data)

    def error_received(self, exc: Exception) -> None:
        if isinstance(exc, ConnectionRefusedError):  # nobody listens there: every allocation went with the server
            self._user.wire_lost(exc)

    def send(self, data: bytes) -> None:
        self.transport.sendto(data)
        SENT.octets += len(data) + self.overhead


class _StreamWire(Wire, asyncio.Protocol):
    def __init__(self, user: WireUser) -> None:
        super().__init__(user)
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 4:
            first, length = unpack_from("!HH", self._buffer)
            is_channel = 0x4000 <= first < 0x8000
            whole = 4 + (length + 3 & ~3) if is_channel else 20 + length
            if len(self._buffer) < whole:
                return
            message = bytes(self._buffer[: 4 + length if is_channel else whole])
            del self._buffer[:whole]
            self._user.wire_received(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._user.wire_lost(exc)

    def send(self, data: bytes) -> None:
        if not self.transport.is_closing() and self.transport.get_write_buffer_size() < MAX_UNSENT:
            self.transport.write(data + bytes(-len(data) % 4))
            SENT.octets += len(data) + -len(data) % 4 + self.overhead


async def addresses_of(server: Server) -> list[Address]:
    """The first address of each family. Raises OSError (socket.gaierror for DNS)."""
    loop = asyncio.get_running_loop()
    kind = socket.SOCK_DGRAM if server.transport == "udp" else socket.SOCK_STREAM
    async with asyncio.timeout(CONNECT_TIMEOUT):
        found = await loop.getaddrinfo(server.host, server.port, type=kind)
    by_family: dict[int, Address] = {}
    for family, _type, _protocol, _name, address in found:
        by_family.setdefault(family, (str(address[0]), int(address[1])))
    return list(by_family.values())


async def connect(server: Server, to: Address, user: WireUser) -> Wire:
    """A wire to one address of `server`. Raises OSError, which ssl.SSLError and TimeoutError are too."""
    loop = asyncio.get_running_loop()
    wire: Wire
    if server.transport == "udp":
        transport, wire = await loop.create_datagram_endpoint(lambda: _UdpWire(user), remote_addr=to)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        wire.overhead = ip_header(to[0]) + UDP_HEADER
        return wire
    context = ssl.create_default_context() if server.tls else None
    async with asyncio.timeout(CONNECT_TIMEOUT):
        stream, wire = await loop.create_connection(
            lambda: _StreamWire(user), *to, ssl=context, server_hostname=server.host if context else None
        )
    stream.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    wire.overhead = ip_header(to[0]) + TCP_HEADER + (TLS_RECORD if context else 0)
    return wire
