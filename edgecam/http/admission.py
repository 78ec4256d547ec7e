"""How many connections a listener holds, and how long one may take to ask for something: descriptors are for viewers."""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from collections.abc import Awaitable, Callable
from typing import cast

import structlog
from aiohttp import web

log = structlog.get_logger(__name__)

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_CONNECTIONS = 512
FIRST_REQUEST_WITHIN = 10.0  # seconds until the first request must be there, headers complete
QUIET = 60.0  # seconds between two lines about the same shortage
_SHARE = 3 / 4  # of the descriptors that the process may have; the others are for cameras and viewers


class AdmissionRunner(web.AppRunner):
    """An AppRunner whose sites close what has not asked for anything in time, and refuse what is too much.

    aiohttp knows neither limit: without them anybody, token or not, can take every descriptor the process has.
    """

    def __init__(self, app: web.Application, *, connections: int, **options: object) -> None:
        super().__init__(app, **options)  # type: ignore[arg-type]  # aiohttp's own options, as they are
        app.middlewares.insert(0, _note_first_request)
        self._admission: _Admission | None = None
        self._connections = connections

    @property
    def server(self) -> web.Server | None:
        """What a site gives to the event loop as its protocol factory."""
        server = super().server
        if server is None:
            return None
        if self._admission is None:
            self._admission = _Admission(server, _within_descriptors(self._connections))
        return cast(web.Server, self._admission)


def _within_descriptors(connections: int) -> int:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return connections if soft == resource.RLIM_INFINITY else max(1, min(connections, int(soft * _SHARE)))


@web.middleware
async def _note_first_request(request: web.Request, handler: Next) -> web.StreamResponse:
    protocol = request.transport.get_protocol() if request.transport is not None else None
    if isinstance(protocol, _Connection):
        protocol.asked()
    return await handler(request)


class _Admission:
    """The connections of one listener. Calling it makes the protocol of a new one."""

    def __init__(self, server: web.Server, limit: int) -> None:
        self.server = server
        self.limit = limit
        self.silent: dict[_Connection, None] = {}  # have not asked for anything yet, the oldest first
        self.count = 0
        self._said = -QUIET

    def __call__(self) -> _Connection:
        return _Connection(self)

    def has_room(self) -> bool:
        """Whether one more may come in; at the limit the oldest that has not asked for anything gives way."""
        if self.count < self.limit:
            return True
        if time.monotonic() - self._said >= QUIET:
            self._said = time.monotonic()
            log.warning("listener.full", connections=self.count, silent=len(self.silent))
        oldest = next(iter(self.silent), None)
        if oldest is not None:
            oldest.drop()
        return oldest is not None


class _Connection(asyncio.Protocol):
    """Passes everything on to aiohttp's protocol for a connection that was admitted."""

    def __init__(self, admission: _Admission) -> None:
        self._admission = admission
        self._inner: asyncio.Protocol | None = None
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        if not self._admission.has_room():
            transport.abort()
            return
        self._transport = transport
        self._admission.count += 1
        self._admission.silent[self] = None
        self._timer = asyncio.get_running_loop().call_later(FIRST_REQUEST_WITHIN, self.drop)
        self._inner = self._admission.server()
        self._inner.connection_made(transport)

    def asked(self) -> None:
        """A request is complete but for its body: aiohttp's own time limits count from now on."""
        self._admission.silent.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()

    def drop(self) -> None:
        """Close it now."""
        self.asked()
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.asked()
        if self._inner is not None:
            self._admission.count -= 1
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._inner is not None else None

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()


class _NoStorm(logging.Filter):
    """asyncio says once per waiting connection and second, with a traceback, that there is no descriptor left."""

    def __init__(self) -> None:
        super().__init__()
        self._said = -QUIET

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.getMessage().startswith("socket.accept() out of system resource"):
            return True
        if time.monotonic() - self._said < QUIET:
            return False
        self._said = time.monotonic()
        return True


logging.getLogger("asyncio").addFilter(_NoStorm())
