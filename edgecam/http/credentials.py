"""Judging what visitors show of a token: bearer, cookie or query, in constant time, with guessing slowed down."""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Protocol

import structlog
from aiohttp import hdrs, web

from edgecam.http.proxies import network_of
from edgecam.http.rights import ADMIN, Denied, Rights

log = structlog.get_logger(__name__)

FAILURES_ALLOWED = 10  # wrong tokens per address within the window
WINDOW = 60.0  # seconds
ADDRESSES_REMEMBERED = 1024  # bounds the memory that an attacker with many addresses can take
COOKIE_LIFETIME = 180 * 24 * 3600  # seconds; a bookmarked page keeps working over restarts


class FailedAttempts:
    """Wrong tokens per remote address (IPv6: per /64) in a small LRU."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def record(self, remote: str) -> bool:
        """Count a failure; True when it is the one that closes the door."""
        key = network_of(remote)
        times = self._times.setdefault(key, deque(maxlen=FAILURES_ALLOWED))
        self._times.move_to_end(key)
        times.append(self._clock())
        while len(self._times) > ADDRESSES_REMEMBERED:
            self._times.popitem(last=False)
        return self.retry_after(remote) > 0

    def retry_after(self, remote: str) -> float:
        """Seconds until this address may try again; 0 when it may now."""
        times = self._times.get(network_of(remote))
        if times is None or len(times) < FAILURES_ALLOWED:
            return 0.0
        return max(0.0, times[0] + WINDOW - self._clock())


class SignedTokens(Protocol):
    """Tokens that carry rights of their own."""

    def judge(self, token: str) -> Rights | Denied | None:
        """What it entitles to; None when it is no such token. Never raises."""


class Credentials:
    """The secrets of one listener, and what shows knowledge of them. The plain `token` gives every right."""

    def __init__(
        self, token: str | None, signed: SignedTokens | None = None, failures: FailedAttempts | None = None
    ) -> None:
        self._token = _octets(token) if token else None
        self._signed = signed
        # The cookie is derived: a token may hold characters that no cookie may, and a stolen cookie is no
        # bearer token then. A signed token is its own cookie: it ends by itself.
        self._cookie = hmac.new(self._token, b"edgecam cookie", hashlib.sha256).hexdigest() if self._token else ""
        self._failures = failures or FailedAttempts()

    def judge(self, token: str, remote: str) -> Rights | Denied:
        """What a token that `remote` shows entitles to; wrong ones are counted."""
        # A throttled address is refused even with the right token, or it could go on guessing.
        wait = self._failures.retry_after(remote)
        if wait > 0:
            seconds = math.ceil(wait)
            return Denied(f"too many wrong tokens from your address; try again in {seconds} s", "too-many-attempts", wait)
        if self._token is not None and hmac.compare_digest(_octets(token), self._token):
            return ADMIN
        judged = self._signed.judge(token) if self._signed is not None else None
        if isinstance(judged, Rights):
            return judged
        denied = judged or Denied("that token is wrong", "token-wrong")
        # One that has ended was genuine: showing it is not guessing.
        if denied.code == "token-wrong" and self._failures.record(remote):
            log.warning("token.guessing", remote=remote, hint="refusing that address for a minute")
        return denied

    def of(self, request: web.Request, remote: str, *, allow_query: bool) -> Rights | Denied | None:
        """Judge a request of `remote` by cookie, `Authorization: Bearer` (RFC 6750) and, where allowed, `?token=`;
        None when it shows nothing."""
        by_cookie = self._of_cookie(request)  # cannot be guessed, and so is not throttled
        if isinstance(by_cookie, Rights):
            return by_cookie
        shown = _bearer(request)
        if shown is None and allow_query:
            shown = request.query.get("token")
        return self.judge(shown, remote) if shown is not None else by_cookie

    def cookie_for(self, token: str) -> tuple[str, int] | None:
        """Value and lifetime in seconds of the cookie that stands for a token; None for one that opens nothing."""
        if self._token is not None and hmac.compare_digest(_octets(token), self._token):
            return self._cookie, COOKIE_LIFETIME
        judged = self._signed.judge(token) if self._signed is not None else None
        if not isinstance(judged, Rights) or judged.expires is None:
            return None
        return token, min(COOKIE_LIFETIME, max(1, math.ceil(judged.expires - time.time())))

    def _of_cookie(self, request: web.Request) -> Rights | Denied | None:
        value = request.cookies.get(cookie_name(request), "")
        if not value:
            return None
        if self._cookie and hmac.compare_digest(_octets(value), self._cookie.encode()):
            return ADMIN
        judged = self._signed.judge(value) if self._signed is not None else None
        # A cookie from before the token changed is nothing: the visitor is told to open the link again.
        return None if isinstance(judged, Denied) and judged.code == "token-wrong" else judged


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
