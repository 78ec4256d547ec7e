"""How a WebSocket request becomes a client: is there room, what may it do, and what is left when it goes."""

from __future__ import annotations

from aiohttp import hdrs, web

from edgecam.http.guard import Guard
from edgecam.http.rights import Denied
from edgecam.server import limits
from edgecam.server.audit import AuditLog
from edgecam.server.limits import Visitors
from edgecam.server.resumption import Line, Lines
from edgecam.server.sockets import Socket
from edgecam.server.websocket import Heartbeats, accept
from edgecam.settings import LimitSettings

CLOSE_GOING_AWAY = 1001  # RFC 6455 section 7.4.1


class Reception:
    """Lets clients in. `room`: connections that there may be at once."""

    def __init__(self, guard: Guard, lines: Lines, audit: AuditLog, settings: LimitSettings, *, room: int) -> None:
        self._guard = guard
        self._lines = lines
        self._audit = audit
        self._settings = settings
        self._room = room
        self.visitors = Visitors(settings)
        self.heartbeats = Heartbeats()
        self.sockets: set[Socket] = set()
        self.served = self.messages = self.bytes = 0  # sockets, messages and bytes received, of those that have gone

    def apply(self, settings: LimitSettings, room: int) -> None:
        """Other limits, for whoever connects from now on."""
        self._settings, self._room = settings, room
        self.visitors.apply(settings)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Exchange messages with a client until it goes. 429 or 503 when there is no room for it."""
        remote = self._guard.client_of(request)
        admitted = limits.full() if len(self._lines.all) >= self._room else self.visitors.enter(remote)
        if isinstance(admitted, Denied):
            self._audit.note("refused", remote, self._guard.rights_of(request), code=admitted.code, reason=admitted.message)
            return _no_room(admitted)
        try:
            socket = Socket(self.heartbeats, remote, self._settings, admitted)
            response = await accept(request, socket.websocket)
            await self._converse(socket, request)
            return response
        finally:
            self.visitors.leave(admitted)

    async def _converse(self, socket: Socket, request: web.Request) -> None:
        self.sockets.add(socket)
        line = Line(self._lines, socket, self._guard.rights_of(request))
        self._audit("connected", line.client)
        try:
            await socket.ended()
        finally:
            self.sockets.discard(socket)
            self.served += 1
            self.messages += socket.messages
            self.bytes += socket.bytes
            holder = socket.reader  # another line, when the client has come back to its old place
            if isinstance(holder, Line):
                holder.lost(socket)

    def close(self) -> None:
        """Ask everybody to come back later: the server is stopping."""
        for socket in self.sockets:
            socket.close(CLOSE_GOING_AWAY, "the server is stopping")

    @property
    def received(self) -> tuple[int, int]:
        """Messages and bytes, ever."""
        return (
            self.messages + sum(socket.messages for socket in self.sockets),
            self.bytes + sum(socket.bytes for socket in self.sockets),
        )


def _no_room(denied: Denied) -> web.Response:
    headers = {hdrs.RETRY_AFTER: str(denied.retry_seconds), hdrs.CONNECTION: "close"}
    return web.Response(status=503 if denied.code == "full" else 429, text=denied.message + "\n", headers=headers)
