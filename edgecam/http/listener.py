"""Opening and closing a TCP listener for an aiohttp application, and the links that lead to it."""

from __future__ import annotations

import errno
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import quote

import ifaddr
import structlog
from aiohttp import http_exceptions, web

from edgecam.errors import FatalError
from edgecam.http.activation import address_of, real_address
from edgecam.http.admission import MAX_CONNECTIONS, AdmissionRunner
from edgecam.http.guard import MAX_BODY_BYTES, Guard
from edgecam.settings import Listen

log = structlog.get_logger(__name__)


class _NoBadRequests(logging.Filter):
    """Drops what aiohttp says about requests that are no HTTP: a traceback for every port scanner, with the bytes
    that were sent, among which may be a token."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, http_exceptions.HttpProcessingError)


_server_log = logging.getLogger("edgecam.http.server")
_server_log.addFilter(_NoBadRequests())

# Seconds that requests in flight get when the listener closes; what is still open then is cancelled. Twice of
# it (aiohttp waits, cancels, waits) stays within the 2 s that stopping may take.
SHUTDOWN_GRACE = 0.5
MAX_LINE_BYTES = 8190  # request line and each header
BACKLOG = 128  # connections that wait to be accepted
KEEPALIVE = 75.0  # seconds that a connection may wait for its next request; newer versions of aiohttp give it an hour


def application(guard: Guard) -> web.Application:
    """An empty application behind `guard` that refuses bodies over 256 KiB."""
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    guard.install(app)
    return app


@asynccontextmanager
async def listening(
    app: web.Application,
    address: Listen,
    *,
    name: str,
    sockets: Sequence[socket.socket] = (),
    connections: int = MAX_CONNECTIONS,
    tls: ssl.SSLContext | None = None,
    per_address: int = 0,
    stands_for_many: Callable[[str], bool] = lambda _address: False,
) -> AsyncIterator[Listen]:
    """Serve `app` on `address`, or on `sockets` that listen already and are closed in the end, for the length of the block.

    Yields the real address, of several the one that the network can reach. `name` is the settings table that says where to
    listen, `connections` how many clients may be connected at once, `per_address` how many of them from one address that
    does not stand for many.
    Raises FatalError (codes port-busy, port-denied, address-absent, listen-failed).
    """
    runner = AdmissionRunner(
        app,
        connections=connections,
        tls=tls,
        per_address=per_address,
        stands_for_many=stands_for_many,
        access_log=None,  # it would write the tokens of query strings
        logger=_server_log,
        handler_cancellation=True,
        shutdown_timeout=SHUTDOWN_GRACE,
        keepalive_timeout=KEEPALIVE,
        max_line_size=MAX_LINE_BYTES,
        max_field_size=MAX_LINE_BYTES,
    )
    await runner.setup()
    try:
        try:
            for site in _sites(runner, address, sockets):
                await site.start()
        except OSError as error:
            raise _cannot_listen(error, address, name) from error
        bound = real_address(sockets) if sockets else Listen(*runner.addresses[0][:2])
        for each in map(address_of, sockets) if sockets else (bound,):
            log.info("listener.opened", listener=name, address=str(each), passed=bool(sockets))
        yield bound
    finally:
        await runner.cleanup()


def _sites(runner: web.AppRunner, address: Listen, sockets: Sequence[socket.socket]) -> Iterator[web.BaseSite]:
    if not sockets:
        yield web.TCPSite(runner, address.host, address.port, backlog=BACKLOG)
    for listener in sockets:
        yield web.SockSite(runner, listener, backlog=BACKLOG)


def _cannot_listen(error: OSError, address: Listen, name: str) -> FatalError:
    reason = error.errno
    if reason is None and "could not bind" in str(error):
        reason = errno.EADDRNOTAVAIL  # asyncio from Python 3.13 on says it without the number
    problem, remedy, code = {
        errno.EADDRINUSE: (
            "the port is in use",
            f"stop the other program or set [{name}] listen to another port",
            "port-busy",
        ),
        errno.EACCES: (
            "this user may not open that port",
            f"set [{name}] listen to a port above 1023",
            "port-denied",
        ),
        errno.EADDRNOTAVAIL: (
            "this machine has no such address",
            f"set [{name}] listen to one of its addresses, or to :{address.port} for all of them",
            "address-absent",
        ),
    }.get(
        reason or 0,
        (error.strerror or str(error), f"check [{name}] listen", "listen-failed"),
    )
    return FatalError(f"cannot listen on {address}: {problem}", remedy=remedy, code=code)


def urls_of(listen: Listen, token: str | None, path: str = "/", *, scheme: str = "http") -> list[str]:
    """Links that a person can open, the nearest first; for a wildcard one per address of this machine."""
    query = f"?token={quote(token, safe='')}" if token else ""
    return [f"{scheme}://{Listen(host, listen.port)}{path}{query}" for host in _hosts_of(listen)]


def _hosts_of(listen: Listen) -> list[str]:
    if listen.host not in {"0.0.0.0", "::"}:
        return [listen.host]
    found: list[str] = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            text = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            if text.startswith(("127.", "169.254.", "fe80:")) or text == "::1":
                continue
            if isinstance(ip.ip, str) or listen.host == "::":
                found.append(text)
    found.sort(key=lambda text: ":" in text)  # people type IPv4
    return ["localhost", *dict.fromkeys(found)]
