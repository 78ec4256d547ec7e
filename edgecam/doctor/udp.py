"""Binding requests (RFC 8489) from one UDP socket to many servers: who answers, and from where they see us."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from dataclasses import dataclass
from typing import Any

from edgecam.rtc.ice.stun import Address, Attribute, Message, Method, decode
from edgecam.rtc.ice.transactions import StunError, Transactions

WAITS = (0.2, 0.4, 0.8, 1.1)  # seconds between requests; 2.5 in all
ICMP_WAIT = 0.5  # seconds
OTHER_ADDRESS = 0x802C  # RFC 5780 section 7.4


@dataclass(frozen=True, slots=True)
class Bound:
    """An answer. `mapped` is where the server sees us, `other` its second address (RFC 5780) if it has one."""

    mapped: Address
    other: Address | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer. `reason` is what the system or the server said, empty when nothing did; `forbidden`: this machine may not
    send at all."""

    reason: str = ""
    forbidden: bool = False


class BindingSocket(asyncio.DatagramProtocol):
    """One socket for all requests, so that what servers see tells of the NAT. Open with `open_binding_socket`."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._requests = Transactions(self._send)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        message = decode(data)
        if message is not None:
            self._requests.take(message, addr)

    def _send(self, data: bytes, to: Address) -> None:
        self._transport.sendto(data, to)

    @property
    def port(self) -> int:
        return int(self._transport.get_extra_info("sockname")[1])

    def close(self) -> None:
        self._transport.close()

    async def ask(self, address: Address) -> Bound | Silence:
        """A Binding request to that server, repeated while it is silent."""
        try:
            reply = await self._requests.request(Message(Method.BINDING), address, None, WAITS)
        except StunError as error:
            return Silence(f"it refuses: {error}") if error.code else await _why_silent(address)
        mapped = reply.message.address(Attribute.XOR_MAPPED_ADDRESS)
        if mapped is None:
            return Silence("it answers, but does not say how it sees us")
        return Bound(mapped, _plain_address(reply.message.attributes.get(OTHER_ADDRESS, b"")), reply.seconds)


def _plain_address(value: bytes) -> Address | None:
    """An address that is not masked (RFC 8489 section 14.1)."""
    if len(value) not in {8, 20}:
        return None
    return str(ipaddress.ip_address(value[4:])), int.from_bytes(value[2:4], "big")


async def open_binding_socket(family: socket.AddressFamily) -> BindingSocket:
    """An open socket of that family. Raises OSError."""
    everywhere = ("::" if family is socket.AF_INET6 else "0.0.0.0", 0)
    _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(BindingSocket, local_addr=everywhere)
    return protocol


async def _why_silent(address: Address) -> Silence:
    """A connected socket hears the errors that the shared one cannot attribute."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        try:
            sock.connect(address)
            sock.send(Message(Method.BINDING).encode())
            async with asyncio.timeout(ICMP_WAIT):
                await asyncio.get_running_loop().sock_recv(sock, 2048)
        except TimeoutError:
            return Silence()
        except OSError as error:
            reason = error.strerror or str(error)
            return Silence(reason.lower(), forbidden=error.errno in {errno.EPERM, errno.EACCES})
    return Silence("it answers one request of several")
