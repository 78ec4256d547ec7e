"""How many connections a listener holds, and how long one may take to ask for something: descriptors are for viewers."""

from __future__ import annotations

import asyncio
import logging
import resource
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import cast

import structlog
from aiohttp import web

from edgecam.http.proxies import is_this_machine, network_of

log = structlog.get_logger(__name__)

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_CONNECTIONS = 512
FIRST_REQUEST_WITHIN = 10.0  # seconds until the first request must be there, headers complete
QUIET = 60.0  # seconds between two lines about the same shortage
_SHARE = 3 / 4  # of the descriptors that the process may have; the others are for cameras and viewers


class AdmissionRunner(web.AppRunner):
    """An AppRunner whose sites close what has not asked for anything in time, and refuse what is too much.

    aiohttp knows neither limit: without them anybody, token or not, can take every descriptor the process has.
    TLS is begun here too, so that a handshake which never ends counts and is timed like a request that never comes.
    `per_address`: connections of one address (IPv6: of one /64), 0 for any number; this machine's addresses, and those
    that `stands_for_many`, are free.
    """

    def __init__(
        self,
        app: web.Application,
        *,
        connections: int,
        tls: ssl.SSLContext | None = None,
        per_address: int = 0,
        stands_for_many: Callable[[str], bool] = lambda _address: False,
        **options: object,
    ) -> None:
        super().__init__(app, **options)  # type: ignore[arg-type]  # aiohttp's own options, as they are
        app.middlewares.insert(0, _note_first_request)
        self._admission: _Admission | None = None
        self._connections = connections
        self._tls = tls
        self._per_address = per_address
        self._stands_for_many = stands_for_many

    @property
    def server(self) -> web.Server | None:
        """What a site gives to the event loop as its protocol factory."""
        server = super().server
        if server is None:
            return None
        if self._admission is None:
            self._admission = _Admission(server, _within_descriptors(self._connections), self._tls)
            self._admission.per_address, self._admission.stands_for_many = self._per_address, self._stands_for_many
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

    per_address = 0
    stands_for_many: Callable[[str], bool]

    def __init__(self, server: web.Server, limit: int, tls: ssl.SSLContext | None) -> None:
        self.server = server
        self.limit = limit
        self.tls = tls
        self.tasks: set[asyncio.Task[None]] = set()  # handshakes
        self.networks: Counter[str] = Counter()
        self.silent: dict[_Connection, None] = {}  # have not asked for anything yet, the oldest first
        self.count = 0
        self._said = -QUIET

    def __call__(self) -> _Connection:
        return _Connection(self)

    def network(self, transport: asyncio.Transport) -> str:
        """What a connection counts for, empty for one that counts for nobody."""
        name = transport.get_extra_info("peername")
        address = str(name[0]) if isinstance(name, tuple) else ""
        free = not self.per_address or is_this_machine(address) or self.stands_for_many(address)
        return "" if free else network_of(address)

    def has_room(self, network: str) -> bool:
        """Whether one more may come in; at the limit the oldest that has not asked for anything gives way."""
        if network and self.networks[network] >= self.per_address:
            return False
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
        self._diverted: asyncio.Protocol | None = None
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._network = ""
        self._counted = False
        self._early = b""  # came together with the end of the handshake, a moment before we hear of that

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        admission = self._admission
        self._network = admission.network(transport)
        if not admission.has_room(self._network):
            transport.abort()
            return
        self._transport = transport
        self._count(1)
        admission.silent[self] = None
        self._timer = asyncio.get_running_loop().call_later(FIRST_REQUEST_WITHIN, self.drop)
        if admission.tls is None:
            self._begin(transport)
            return
        transport.pause_reading()  # what has come already belongs to the handshake
        task = asyncio.create_task(self._encrypt(transport, admission.tls), name="http.handshake")
        admission.tasks.add(task)
        task.add_done_callback(admission.tasks.discard)

    async def _encrypt(self, transport: asyncio.Transport, context: ssl.SSLContext) -> None:
        with suppress(OSError, ssl.SSLError):  # whoever does not manage is gone by now
            encrypted = await asyncio.get_running_loop().start_tls(
                transport, self, context, server_side=True, ssl_handshake_timeout=FIRST_REQUEST_WITHIN
            )
            if encrypted is not None and not encrypted.is_closing():
                self._begin(encrypted)
                return
        transport.abort()
        self.asked()
        self._count(-1)

    def _begin(self, transport: asyncio.Transport) -> None:
        self._inner = self._admission.server()
        self._inner.connection_made(transport)
        early, self._early = self._early, b""
        if early:
            self._inner.data_received(early)

    def _count(self, step: int) -> None:
        """Take or give back a place, each once."""
        if self._counted is (step > 0):
            return
        self._counted = step > 0
        self._admission.count += step
        if self._network:
            self._admission.networks[self._network] += step
            if not self._admission.networks[self._network]:
                del self._admission.networks[self._network]

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

    def divert(self, protocol: asyncio.Protocol) -> None:
        """The connection speaks HTTP no more: what comes is for `protocol`. aiohttp still hears of its end."""
        self._diverted = protocol

    def connection_lost(self, exc: Exception | None) -> None:
        self.asked()
        self._count(-1)
        if self._diverted is not None:
            self._diverted.connection_lost(exc)
        if self._inner is not None:
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._diverted is not None:
            self._diverted.data_received(data)
        elif self._inner is not None:
            self._inner.data_received(data)
        elif self._counted:
            self._early += data

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
