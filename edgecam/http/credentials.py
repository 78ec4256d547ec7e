"""Checking a listener's token: bearer, cookie or query, in constant time, with guessing slowed down."""

from __future__ import annotations

import enum
import hashlib
import hmac
import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from aiohttp import hdrs, web

FAILURES_ALLOWED = 10  # wrong tokens per address within the window
WINDOW = 60.0  # seconds
ADDRESSES_REMEMBERED = 1024  # bounds the memory that an attacker with many addresses can take
COOKIE_LIFETIME = 180 * 24 * 3600  # seconds; a bookmarked page keeps working over restarts


class Verdict(enum.Enum):
    """What a request's credentials amount to."""

    GRANTED = enum.auto()
    MISSING = enum.auto()
    WRONG = enum.auto()
    THROTTLED = enum.auto()


class FailedAttempts:
    """Wrong tokens per remote address (IPv6: per /64) in a small LRU."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def record(self, remote: str) -> bool:
        """Count a failure; True when it is the one that closes the door."""
        key = _network(remote)
        times = self._times.setdefault(key, deque(maxlen=FAILURES_ALLOWED))
        self._times.move_to_end(key)
        times.append(self._clock())
        while len(self._times) > ADDRESSES_REMEMBERED:
            self._times.popitem(last=False)
        return self.retry_after(remote) > 0

    def retry_after(self, remote: str) -> float:
        """Seconds until this address may try again; 0 when it may now."""
        times = self._times.get(_network(remote))
        if times is None or len(times) < FAILURES_ALLOWED:
            return 0.0
        return max(0.0, times[0] + WINDOW - self._clock())


def _network(remote: str) -> str:
    try:
        address = ipaddress.ip_address(remote.partition("%")[0])
    except ValueError:
        return remote
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def client_address(request: web.BaseRequest, *, proxied: bool) -> str:
    """Where a request comes from. `proxied`: it came through a proxy that a person configured; if that runs on this
    machine, it is the hop that the proxy itself added, the last one, and not the proxy."""
    remote = request.remote or ""
    if not (proxied and _is_loopback(remote)):
        return remote
    hops = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
    try:
        return str(ipaddress.ip_address(hops[-1].strip().strip("[]")))
    except ValueError:
        return remote


def _is_loopback(remote: str) -> bool:
    try:
        return ipaddress.ip_address(remote).is_loopback
    except ValueError:
        return False


class Credentials:
    """The secret of one listener, and what shows knowledge of it."""

    def __init__(self, token: str, failures: FailedAttempts | None = None) -> None:
        self._token = _octets(token)
        # The cookie is derived: a token may hold characters that no cookie may, and a stolen cookie is no
        # bearer token then.
        self.cookie_value = hmac.new(self._token, b"edgecam cookie", hashlib.sha256).hexdigest()
        self.failures = failures or FailedAttempts()

    def matches(self, token: str) -> bool:
        """Whether `token` is the secret, compared in constant time."""
        return hmac.compare_digest(_octets(token), self._token)

    def check(self, request: web.Request, remote: str, *, allow_query: bool) -> Verdict:
        """Judge a request of `remote` by cookie, `Authorization: Bearer` (RFC 6750) and, where allowed, `?token=`."""
        if self._cookie_matches(request):
            return Verdict.GRANTED
        shown = _bearer(request)
        if shown is None and allow_query:
            shown = request.query.get("token")
        if shown is None:
            return Verdict.MISSING
        # A throttled address is refused even with the right token, or it could go on guessing. Cookies count:
        # they cannot be guessed.
        if self.failures.retry_after(remote) > 0:
            return Verdict.THROTTLED
        return Verdict.GRANTED if self.matches(shown) else Verdict.WRONG

    def _cookie_matches(self, request: web.Request) -> bool:
        value = request.cookies.get(cookie_name(request), "")
        return hmac.compare_digest(_octets(value), self.cookie_value.encode())


def cookie_name(request: web.BaseRequest) -> str:
    """Specific to the listener's port: browsers send cookies to every port of a host."""
    sockname = request.get_extra_info("sockname")
    port = sockname[1] if isinstance(sockname, tuple) and len(sockname) > 1 else 0
    return f"edgecam_{port}"


def _bearer(request: web.Request) -> str | None:
    scheme, _, value = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else None


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
