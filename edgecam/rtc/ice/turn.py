"""A TURN client (RFC 8656): an address at a server that relays, to be used like a socket of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from struct import pack, unpack_from
from typing import Any

from edgecam.rtc.ice.endpoints import Endpoint
from edgecam.rtc.ice.servers import Server
from edgecam.rtc.ice.stun import Address, Attribute, Kind, Message, Method, decode
from edgecam.rtc.ice.transactions import Reply, StunError, Transactions
from edgecam.rtc.ice.wires import Wire, connect

LIFETIME = 600  # seconds that are asked for
PERMISSION_TIME = 240.0  # seconds after which permissions, which hold for 300, are renewed
RESENT = (0.25, 0.5, 1.0, 1.0, 1.5)  # seconds; 4.25 in all
GOODBYE = (0.3, 0.3, 0.4)
REFRESH_AGAIN = 10.0  # seconds after a refresh that the server did not answer
FIRST_CHANNEL, LAST_CHANNEL = 0x4000, 0x4FFF
MAX_QUEUED = 16  # packets for a peer whose channel is being bound; the oldest is dropped
_UDP = pack("!I", 17 << 24)
_IPV6 = pack("!I", 2 << 24)


@dataclass(slots=True)
class _Channel:
    """The way to one peer. `used` since its last renewal; `refused` is the server's reason."""

    number: int
    bound: bool = False
    used: bool = True
    refused: str = ""
    queue: deque[bytes] = field(default_factory=lambda: deque(maxlen=MAX_QUEUED))


def _lifetime(seconds: int) -> dict[int, bytes]:
    return {Attribute.LIFETIME: pack("!I", seconds)}


class Allocation:
    """A relayed address, IPv4 unless `ipv6`. To its endpoint it is a transport: `sendto`, `close`, `get_extra_info`."""

    def __init__(self, server: Server, *, ipv6: bool = False) -> None:
        self.server = server
        self._ipv6 = ipv6
        self.relayed: Address | None = None
        self.mapped: Address | None = None
        self.endpoint: Endpoint | None = None
        self.alive = False
        self.refused: dict[str, str] = {}  # peers' addresses to which the server does not relay, and why
        self._wire: Wire | None = None
        self._requests = Transactions(lambda data, _to: self._send(data))
        self._at: Address = ("", 0)
        self._realm = self._nonce = b""
        self._key: bytes | None = None
        self._channels: dict[Address, _Channel] = {}
        self._peers: dict[int, Address] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._binding: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[Reply] | None = None

    async def open(self, at: Address) -> float:
        """Allocate at that address of the server; returns the seconds it took. Raises StunError or OSError."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        self._at = at
        self._failure = loop.create_future()
        self._failure.add_done_callback(lambda done: done.exception())
        try:
            self._wire = await connect(self.server, at, self)
            asking = asyncio.ensure_future(self._ask(Method.ALLOCATE, self._wanted()))
            try:
                await asyncio.wait((asking, self._failure), return_when=asyncio.FIRST_COMPLETED)
                reply = asking.result() if asking.done() else self._failure.result()
            finally:
                asking.cancel()
            self._take_addresses(reply.message)
        except BaseException:
            self._drop()
            raise
        self.alive = True
        self._spawn(self._keep(reply.message.number(Attribute.LIFETIME) or LIFETIME), "refresh")
        self._spawn(self._renew_channels(), "channels")
        return loop.time() - begun

    @property
    def base(self) -> str:
        return self._wire.local if self._wire is not None else ""

    # as a transport

    def sendto(self, data: bytes, to: Address) -> None:
        """Relay `data`; the first packets to a peer wait for the channel."""
        channel = self._channels.get(to) or self.expect(to)
        if channel is None:
            return
        if channel.bound:
            channel.used = True
            self._send(pack("!HH", channel.number, len(data)) + data)
        elif not channel.refused:
            channel.queue.append(data)

    def expect(self, peer: Address) -> _Channel | None:
        """Bind a channel to `peer`, which permits what comes from its address; None when the server has gone or is full."""
        if peer in self._channels:
            return self._channels[peer]
        if not self.alive or (number := FIRST_CHANNEL + len(self._channels)) > LAST_CHANNEL:
            return None
        channel = self._channels[peer] = _Channel(number)
        self._peers[number] = peer
        task = self._spawn(self._bind(channel, peer), "channel")
        self._binding.add(task)
        task.add_done_callback(self._binding.discard)
        return channel

    def permit(self, host: str) -> None:
        """Let in what comes from that address, from whatever port, for as long as the allocation lives."""
        self._spawn(self._keep_permission(host), "permission")

    async def _keep_permission(self, host: str) -> None:
        with contextlib.suppress(StunError):  # a server may forbid some addresses: then nobody comes from there
            while True:
                await self._ask(Method.CREATE_PERMISSION, {}, peer=(host, 0))
                await asyncio.sleep(PERMISSION_TIME)

    async def settled(self, within: float) -> None:
        """Until all channels are bound or refused, `within` seconds at most."""
        if self._binding:
            await asyncio.wait(self._binding, timeout=within)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.relayed if name == "sockname" else default

    def is_closing(self) -> bool:
        return not self.alive

    def close(self) -> None:
        """At once, without a word to the server."""
        self._drop()

    async def release(self) -> None:
        """Tell the server that the address is free, for a second at most, and close."""
        try:
            if self.alive:
                self._end_tasks()
                with contextlib.suppress(StunError, OSError):
                    await self._ask(Method.REFRESH, _lifetime(0), GOODBYE)
        finally:
            self._drop()

    # the wire's user

    def wire_received(self, data: bytes) -> None:
        if 0x40 <= data[0] < 0x80:
            self._channel_data(data)
            return
        message = decode(data)
        if message is None:
            return
        if message.kind in {Kind.SUCCESS, Kind.ERROR}:
            self._requests.take(message, self._at)
        elif message.kind == Kind.INDICATION and message.method == Method.DATA and self.endpoint is not None:
            # From a peer that has a permission, before its channel is bound, or from another of its ports.
            peer, payload = message.address(Attribute.XOR_PEER_ADDRESS), message.attributes.get(Attribute.DATA)
            if peer is not None and payload:
                self.endpoint.datagram_received(payload, peer)

    def wire_lost(self, error: Exception | None) -> None:
        if self._failure is not None and not self._failure.done():
            self._failure.set_exception(error or ConnectionResetError("the server closed the connection"))
        if self.alive:
            self._gone()

    # inside

    def _channel_data(self, data: bytes) -> None:
        if len(data) < 4:
            return
        number, length = unpack_from("!HH", data)
        peer = self._peers.get(number)
        if peer is not None and self.endpoint is not None and len(data) >= 4 + length:
            self.endpoint.datagram_received(data[4 : 4 + length], peer)

    async def _ask(
        self, method: Method, attributes: Mapping[int, bytes], waits: tuple[float, ...] = RESENT, peer: Address | None = None
    ) -> Reply:
        """A request with long-term credentials (RFC 8489 section 9.2), once more when the server names realm or nonce."""
        assert self._wire is not None
        waits = waits if self._wire.retransmits else (sum(waits),)
        for _ in range(3):
            message = Message(method, attributes=dict(attributes))
            if peer is not None:
                message.put_address(Attribute.XOR_PEER_ADDRESS, peer)
            if self._key is not None:
                message.attributes[Attribute.USERNAME] = self.server.username.encode()
                message.attributes[Attribute.REALM] = self._realm
                message.attributes[Attribute.NONCE] = self._nonce
            try:
                return await self._requests.request(message, self._at, self._key, waits)
            except StunError as error:
                if not self._learn(error):
                    raise
        raise StunError(438, "the server finds every nonce stale")

    def _wanted(self) -> dict[int, bytes]:
        # IPv4 is what every server gives unasked; older ones refuse to be asked for it (RFC 8656 section 7.1).
        family: dict[int, bytes] = {Attribute.REQUESTED_ADDRESS_FAMILY: _IPV6} if self._ipv6 else {}
        return {Attribute.REQUESTED_TRANSPORT: _UDP, **family, **_lifetime(LIFETIME)}

    def _take_addresses(self, message: Message) -> None:
        self.relayed = message.address(Attribute.XOR_RELAYED_ADDRESS)
        self.mapped = message.address(Attribute.XOR_MAPPED_ADDRESS)
        if self.relayed is None:
            raise StunError(0, "the server named no relayed address")
        if self._ipv6 and ":" not in self.relayed[0]:
            raise StunError(0, "the server knows no IPv6")

    def _learn(self, error: StunError) -> bool:
        """Take realm and nonce from an error; whether asking again may help."""
        if error.response is None or error.code not in {401, 438} or (error.code == 401 and self._key is not None):
            return False
        nonce = error.response.attributes.get(Attribute.NONCE)
        self._realm = error.response.attributes.get(Attribute.REALM, self._realm)
        if not nonce or not self._realm:
            return False
        self._nonce = nonce
        secret = self.server.credential.get_secret_value()
        text = b":".join((self.server.username.encode(), self._realm, secret.encode()))
        self._key = hashlib.md5(text, usedforsecurity=False).digest()
        return True

    async def _bind(self, channel: _Channel, peer: Address) -> None:
        """ChannelBind, which installs the permission as well; then what waited goes out."""
        number: dict[int, bytes] = {Attribute.CHANNEL_NUMBER: pack("!HH", channel.number, 0)}
        try:
            await self._ask(Method.CHANNEL_BIND, number, peer=peer)
        except StunError as error:
            channel.refused = self.refused[peer[0]] = str(error)
            channel.queue.clear()
            return
        channel.bound = True
        while channel.queue:
            data = channel.queue.popleft()
            self._send(pack("!HH", channel.number, len(data)) + data)

    async def _keep(self, lifetime: int) -> None:
        """Refresh until that fails for good."""
        loop = asyncio.get_running_loop()
        expires = loop.time() + lifetime
        wait = max(5.0, lifetime - 60.0 if lifetime > 120 else lifetime / 2)
        while True:
            await asyncio.sleep(wait)
            try:
                reply = await self._ask(Method.REFRESH, _lifetime(LIFETIME))
            except StunError as error:
                if error.code or loop.time() >= expires:
                    return self._gone()
                wait = REFRESH_AGAIN
            else:
                lifetime = reply.message.number(Attribute.LIFETIME) or LIFETIME
                expires, wait = loop.time() + lifetime, max(5.0, lifetime - 60.0)

    async def _renew_channels(self) -> None:
        while True:
            await asyncio.sleep(PERMISSION_TIME)
            for peer, channel in list(self._channels.items()):
                if channel.bound and channel.used:
                    channel.used = False
                    await self._bind(channel, peer)

    def _spawn(self, work: Any, name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=f"turn {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _end_tasks(self) -> None:
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()

    def _send(self, data: bytes) -> None:
        if self._wire is not None:
            self._wire.send(data)

    def _gone(self) -> None:
        self._drop()
        if self.endpoint is not None:
            self.endpoint.lost()

    def _drop(self) -> None:
        self.alive = False
        self._end_tasks()
        if self._wire is not None:
            wire, self._wire = self._wire, None
            wire.close()
