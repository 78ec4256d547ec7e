"""Places that outlive their connection: a client that comes back in time goes on as if nothing had happened.

A client asks for it by a number in `register`: `received`, how many messages it has had since the `registered` before,
0 the first time. It is told `resumeWithin` seconds. Coming back, it registers with the same `cameraId` and its own
secret (`instanceId` of a camera, `peerId` of a viewer); the answer says `resumed` and `received`, how many of its messages have come here,
and everything that it has missed follows in order. The other side never hears of it. When that is not to be had any more,
it is registered like anybody who comes anew. Clients that send no `received` leave when their connection does.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable

from edgecam.http.rights import Denied, Rights, seconds_left
from edgecam.server.hub import Hub
from edgecam.server.seats import Audit, CameraSeat, Departed, ViewerSeat
from edgecam.server.sockets import Socket
from edgecam.signaling import wire

# What is kept for one client, in case its connection breaks: more would be a call that is over anyway.
KEPT_MESSAGES = 256
KEPT_BYTES = 256 * 1024
NOTICE = 20.0  # seconds until we notice that a connection is dead: what was sent into it meanwhile is kept too
CLOSE_REPLACED = 4001  # the same client has connected anew: do not reconnect
CLOSE_RIGHTS_ENDED = 4002  # the token has expired or was taken back
CLOSE_NOT_REGISTERED = 4003  # connected for long, and neither camera nor viewer

_Key = tuple[str, str, str]  # role, camera, the client's secret


class Lines:
    """All connections of a server, by what they may be resumed with. `seconds`: how long a place is kept, 0 never."""

    def __init__(
        self, hub: Hub, authorize: Callable[[str, str], Rights | Denied], audit: Audit, *, seconds: float, register_within: float
    ) -> None:
        self.hub = hub
        self.audit = audit
        self.seconds = seconds
        self.register_within = register_within
        self.all: set[Line] = set()
        self.by_key: dict[_Key, Line] = {}
        self.resumed = 0
        self._authorize = authorize

    def sweep(self) -> None:
        """Forget what nobody can ask for any more; to be called now and then."""
        before = time.monotonic() - self.seconds - NOTICE
        for line in self.all:
            line.forget(before)

    def end_revoked(self, revoked: frozenset[str]) -> None:
        """Close the connections of tokens that have been taken back."""
        for line in [line for line in self.all if line.client.rights.token_id in revoked]:
            line.end_rights("that token has been taken back", "token-revoked")

    def take_over(self, newcomer: Line, body: dict[str, object]) -> bool:
        """Give a newcomer its old place; False when there is none that it may have."""
        role, camera = body.get("role"), body.get("cameraId") or ""
        secret = body.get("instanceId" if role == "sender" else "peerId")
        received, token = body.get("received"), body.get("token")
        line = self.by_key.get((str(role), str(camera), str(secret)))
        if line is None or line is newcomer or line.client.seat is None or not isinstance(received, int):
            return False
        judged = self._authorize(token, newcomer.remote) if isinstance(token, str) and token else newcomer.client.rights
        if isinstance(judged, Denied) or not line.has_since(received):
            return False
        name = line.client.seat.camera.id if line.client.seat.camera is not None else str(camera)
        if not (judged.may_send(name) if role == "sender" else judged.may_watch(name)):
            return False
        line.attach(newcomer, judged, received)
        self.resumed += 1
        return True


class Line:
    """What the hub knows of a client's connection. Implements `seats.Link` for the hub and `sockets.Reader` for the socket."""

    __slots__ = (
        "_asking", "_count", "_counting", "_expiry", "_heard", "_key", "_leaving", "_lines", "_rights", "_sent",
        "_sent_bytes", "_silence", "_socket", "client", "remote",
    )  # fmt: skip

    def __init__(self, lines: Lines, socket: Socket, rights: Rights) -> None:
        self.remote = socket.remote
        self._lines = lines
        self._socket: Socket | None = socket
        self._key: _Key | None = None
        self._asking = False  # a `register` that tells what was received is being worked on
        self._counting = False
        self._sent: deque[tuple[float, str]] = deque()  # CLOCK_MONOTONIC seconds, text
        self._sent_bytes = 0
        self._count = 0  # messages sent since `registered`, the last len(_sent) of which are kept
        self._heard = 0  # messages received since then
        self._leaving: asyncio.TimerHandle | None = None
        self._expiry: asyncio.TimerHandle | None = None
        socket.reader = self
        lines.all.add(self)
        self.client = lines.hub.connect(self, rights)
        self._rights: Rights | None = None
        self._watch_rights()
        self._silence = asyncio.get_running_loop().call_later(lines.register_within, self._check_registered)

    @property
    def away(self) -> bool:
        return self._socket is None

    @property
    def is_camera(self) -> bool:
        return isinstance(self.client.seat, CameraSeat)

    # from the hub

    def send(self, text: str) -> None:
        """Send, or keep for a client that is away."""
        if text.startswith('{"type":"registered"'):
            self._begin_count()
            text = f'{text[:-1]},"resumeWithin":{self._lines.seconds:g}}}' if self._counting else text
        elif self._counting:
            self._keep(text)
        self._transmit(text)

    def close(self, code: int, reason: str) -> None:
        """Close for good."""
        if self._socket is not None:
            self._socket.close(code, reason)
        else:
            self._leave()

    # from the socket

    def receive(self, text: str) -> None:
        """A text frame from the client."""
        asked = _resumable(text) if self._lines.seconds and '"received"' in text else None
        if asked is None:
            self._heard += 1
            self._lines.hub.receive(self.client, text)
        elif self.client.seat is not None or not self._lines.take_over(self, asked):
            self._asking = True
            self._lines.hub.receive(self.client, text)
            self._asking = False
            if self._counting:
                self._find_key()
        if self.client.rights is not self._rights:
            self._watch_rights()

    def complain(self, message: str, code: str) -> None:
        self._lines.hub.complain(self.client, wire.Error(message, code))

    def warn(self, message: str, code: str) -> None:
        self._lines.audit("slowed", self.client, reason=message)
        self.client.send(wire.Error(message, code))

    def lost(self, socket: Socket) -> None:
        """The socket has ended; the place is kept if it broke and the client knows how to come back."""
        if self._socket is not socket:
            return
        self._socket = None
        if not (socket.broke and self._key and self.client.seat):
            self._leave()
            return
        self._lines.audit("away", self.client)
        self._leaving = asyncio.get_running_loop().call_later(self._lines.seconds, self._leave)

    # coming back

    def has_since(self, received: int) -> bool:
        """Whether everything after the first `received` messages is still here."""
        return self._count - len(self._sent) <= received <= self._count

    def attach(self, newcomer: Line, rights: Rights, received: int) -> None:
        """Go on over the newcomer's socket: what it missed, in order, then whatever comes."""
        socket = newcomer.hand_over()
        older, self._socket = self._socket, socket
        if older is not None:
            older.reader = None
            older.close(CLOSE_REPLACED, "this client has connected anew")
        if self._leaving is not None:
            self._leaving.cancel()
        socket.reader = self
        self.remote, self.client.rights = socket.remote, rights
        self._watch_rights()
        self._lines.audit("resumed", self.client)
        socket.send(f'{self._registered()[:-1]},"resumeWithin":{self._lines.seconds:g},"resumed":true,"received":{self._heard}}}')
        missed = self._count - received
        for _, text in list(self._sent)[len(self._sent) - missed :]:
            socket.send(text)

    def hand_over(self) -> Socket:
        """Give the socket to an older line, whose client this is."""
        socket, self._socket = self._socket, None
        assert socket is not None
        self._leave()
        return socket

    def forget(self, before: float) -> None:
        """Drop what was sent before that time."""
        while self._sent and self._sent[0][0] < before:
            self._sent_bytes -= len(self._sent.popleft()[1])

    # rights and patience

    def end_rights(self, message: str, code: str) -> None:
        """The token is good no more: say so and close. Media belongs to the camera and goes on."""
        self._lines.audit("refused", self.client, code=code, reason=message)
        self._transmit(wire.encode(wire.Error(message, code)))
        self.close(CLOSE_RIGHTS_ENDED, code)

    def _watch_rights(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        self._rights = self.client.rights
        left = seconds_left(self._rights)
        if left is not None:
            self._expiry = asyncio.get_running_loop().call_later(max(0.0, left) + 0.01, self._check_expiry)

    def _check_expiry(self) -> None:
        left = seconds_left(self.client.rights)
        if left is None or left > 0:  # the clock was set meanwhile
            self._watch_rights()
        else:
            self.end_rights("that token has expired", "token-expired")

    def _check_registered(self) -> None:
        if self.client.seat is None and not self.client.listing:
            text = "you are connected and have not registered; connect again when you want to"
            self._transmit(wire.encode(wire.Error(text, "register-timeout")))
            self.close(CLOSE_NOT_REGISTERED, "not registered in time")

    # keeping

    def _transmit(self, text: str) -> None:
        if self._socket is not None:
            self._socket.send(text)

    def _keep(self, text: str) -> None:
        self._count += 1
        self._sent.append((time.monotonic(), text))
        self._sent_bytes += len(text)
        while len(self._sent) > KEPT_MESSAGES or self._sent_bytes > KEPT_BYTES:
            self._sent_bytes -= len(self._sent.popleft()[1])

    def _begin_count(self) -> None:
        """A `registered` goes out: what follows is counted if the client counts it too."""
        self._forget_key()
        self._sent.clear()
        self._sent_bytes = self._count = self._heard = 0
        self._counting = self._asking

    def _find_key(self) -> None:
        seat = self.client.seat
        if isinstance(seat, CameraSeat) and seat.instance_id and not seat.plain:
            self._key = ("sender", seat.camera.id, seat.instance_id)
        elif isinstance(seat, ViewerSeat) and not seat.plain:
            self._key = ("receiver", seat.wanted, seat.peer_id)
        self._counting = self._key is not None
        if self._key is not None:
            self._lines.by_key[self._key] = self

    def _forget_key(self) -> None:
        if self._key is not None and self._lines.by_key.get(self._key) is self:
            del self._lines.by_key[self._key]
        self._key = None

    def _registered(self) -> str:
        seat, hub, client = self.client.seat, self._lines.hub, self.client
        servers = hub.ice_servers(client.turn_name)
        if isinstance(seat, CameraSeat):
            return wire.encode(wire.Registered("sender", servers, camera_id=seat.camera.id))
        assert seat is not None
        return wire.encode(wire.Registered("receiver", servers, *seat.ids, cameras=hub.listed(client)))

    def _leave(self) -> None:
        self._forget_key()
        for timer in (self._leaving, self._expiry, self._silence):
            if timer is not None:
                timer.cancel()
        self._lines.all.discard(self)
        self._lines.hub.disconnect(self.client)
        self.client.link = Departed(self.remote)  # no cycle is left for the collector


def _resumable(text: str) -> dict[str, object] | None:
    """The body of a `register` that tells what it has received."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or body.get("type") != "register":
        return None
    received = body.get("received")
    return body if isinstance(received, int) and not isinstance(received, bool) and received >= 0 else None
