"""Local transport addresses that media can go through: a UDP socket of this machine here, a relayed one in `turn`."""

from __future__ import annotations

import random
import socket
from typing import Any, Protocol

from edgecam.rtc.ice.addresses import LocalAddress
from edgecam.rtc.ice.candidate import Candidate, foundation, priority
from edgecam.rtc.ice.datagrams import DatagramSocket
from edgecam.rtc.ice.stun import Address, Kind, Message, decode
from edgecam.rtc.ice.transactions import Transactions

RECEIVE_BUFFER = 256 * 1024  # bytes
PORT_TRIES = 40


class Receiver(Protocol):
    """Who owns an endpoint: a viewer's agent."""

    def checked(self, endpoint: Endpoint, request: Message, source: Address) -> None:
        """A STUN request has come."""

    def data_received(self, data: bytes, component: int) -> None:
        """Media or DTLS has come."""

    def endpoint_lost(self, endpoint: Endpoint) -> None:
        """It can neither send nor receive any more."""


class Endpoint:
    """What sockets and relayed addresses share. `transport` has `sendto(data, address)` and `close()`; the names `transport`
    and `local_candidate` are aioice's, because the fast path looks for them. Without a receiver, what comes is dropped."""

    transport: Any
    local_candidate: Candidate
    base: str  # the machine's own address underneath, "" when it is not known

    def __init__(self) -> None:
        self.receiver: Receiver | None = None
        self.transactions = Transactions(self.send)

    def expect(self, peer: Address) -> None:
        """Something may soon come from there. A relay must be told, or it drops the viewer's first check."""

    async def settled(self, within: float) -> None:
        """Until what is expected gets in, `within` seconds at most."""

    def send(self, data: bytes, to: Address) -> None:
        self.transport.sendto(data, to)

    async def send_data(self, data: bytes, to: Address) -> None:
        self.transport.sendto(data, to)

    def datagram_received(self, data: bytes, source: tuple[Any, ...]) -> None:
        """RFC 7983: STUN begins with 0 to 3."""
        if not data:
            return
        if data[0] > 3:
            if self.receiver is not None:
                self.receiver.data_received(data, 1)
            return
        message = decode(data)
        if message is None:
            return
        address = source[0].partition("%")[0], source[1]
        if message.kind in {Kind.SUCCESS, Kind.ERROR}:
            self.transactions.take(message, address)
        elif message.kind == Kind.REQUEST and self.receiver is not None:
            self.receiver.checked(self, message, address)

    def lost(self) -> None:
        if self.receiver is not None:
            self.receiver.endpoint_lost(self)

    async def close(self) -> None:
        """Give it back. A relayed address says goodbye to its server, for a second at most."""
        self.receiver = None
        self.transport.close()


class UdpEndpoint(Endpoint):
    """A UDP socket bound to one address of this machine, and its host candidate."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self.transport = DatagramSocket(sock, self.datagram_received)


def open_udp(local: LocalAddress, preference: int, ports: range | None) -> UdpEndpoint:
    """A socket on that address, on a random port of `ports`. Raises OSError. `preference`: 0..65535, greater is better."""
    sock = socket.socket(socket.AF_INET6 if local.version == 6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        if local.version == 6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _bind(sock, local, ports)
        port = sock.getsockname()[1]
        endpoint = UdpEndpoint(sock)
    except BaseException:
        sock.close()
        raise
    host = local.address
    endpoint.base = host
    endpoint.local_candidate = Candidate(foundation("host", host), 1, "udp", priority("host", preference), host, port, "host")
    return endpoint


def _bind(sock: socket.socket, local: LocalAddress, ports: range | None) -> None:
    tries = random.sample(ports, min(PORT_TRIES, len(ports))) if ports is not None else [0]
    for number, port in enumerate(tries, 1):
        try:
            sock.bind((local.address, port) if local.version == 4 else (local.address, port, 0, local.scope))
        except OSError:
            if number == len(tries):
                raise
        else:
            return
