"""The door of every listener: Host, Origin, CORS, token, security headers. One middleware and one signal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Any
from urllib.parse import urlsplit

import structlog
from aiohttp import hdrs, web

from edgecam.http.credentials import Credentials, FailedAttempts, SignedTokens, cookie_name
from edgecam.http.door import not_allowed, throttled, token_needed
from edgecam.http.origins import AllowedHosts, Authority, normal_origin, parse_authority, same_origin
from edgecam.http.proxies import Proxies
from edgecam.http.rights import ADMIN, ANYONE, Denied, Rights
from edgecam.settings import ListenerSettings

log = structlog.get_logger(__name__)

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_BODY_BYTES = 256 * 1024  # an SDP of a camera has a few KiB; nothing else that is posted comes near
API_PREFIXES = ("/api/", "/whep", "/metrics", "/readyz", "/status", "/ws")
# Where a request keeps what it may do. Newer versions of aiohttp warn of plain names, older ones (3.11) have no keys.
_RIGHTS: Any = getattr(web, "RequestKey", lambda name, _type: name)("edgecam.rights", Rights)

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self' ws: wss:; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)
_CORS_METHODS = "GET, POST, PATCH, DELETE, OPTIONS"
_CORS_HEADERS = "Authorization, Content-Type, If-Match"
_CORS_EXPOSED = "Location, ETag, Link"


class Guard:
    """Decides which requests reach a listener's handlers. `install` puts it into an application.

    `section` is the settings table that messages name; `open_paths` need no token; `anonymous_sockets` lets
    WebSocket upgrades in without one; `admin_paths` are for those who may see everything. `public_url` is where a proxy
    serves this listener, `announced` names under which the machine announces it. `refused(request, remote, denied)` hears
    of every visitor without the right token.
    """

    def __init__(
        self,
        settings: ListenerSettings,
        token: str | None,
        *,
        section: str = "web",
        open_paths: Collection[str] = frozenset({"/healthz"}),
        admin_paths: Collection[str] = frozenset(),
        anonymous_sockets: bool = False,
        signed: SignedTokens | None = None,
        public_url: str = "",
        announced: Collection[str] = (),
        refused: Callable[[web.Request, str, Denied], None] = lambda _request, _remote, _denied: None,
    ) -> None:
        self._section = section
        self._signed = signed
        self._failures = FailedAttempts()
        self._announced = frozenset(announced)
        self.apply(settings, token, public_url)
        self._open_paths = frozenset(open_paths)
        self._admin_paths = frozenset(admin_paths)
        self._anonymous_sockets = anonymous_sockets
        self._refused = refused

    def apply(self, settings: ListenerSettings, token: str | None, public_url: str = "") -> None:
        """From the next request on these settings and this token hold. Who has failed to guess is not forgotten."""
        configured = (*settings.allowed_hosts, *([urlsplit(public_url).netloc] if public_url else ()))
        self._hosts = AllowedHosts(configured, self._announced)
        self._cors = frozenset(filter(None, map(normal_origin, settings.cors_origins)))
        self._credentials = Credentials(token, self._signed, self._failures) if token else None
        self._proxies = Proxies(settings.trusted_proxies)

    def install(self, app: web.Application) -> None:
        """Guard every request of `app`, also those that no route matches."""
        app.middlewares.append(self.middleware)
        app.on_response_prepare.append(self._add_headers)

    def judge(self, token: str, remote: str) -> Rights | Denied:
        """What a token that `remote` showed in a message entitles to. Wrong ones count like those in requests."""
        return ADMIN if self._credentials is None else self._credentials.judge(token, remote)

    def client_of(self, request: web.BaseRequest) -> str:
        """The address that a request comes from, also behind a reverse proxy that is believed."""
        return self._proxies.client_of(request, configured=self._names_configured_host(request))

    def rights_of(self, request: web.Request) -> Rights:
        """What a request that was let in may do."""
        rights = request.get(_RIGHTS, ANYONE)
        assert isinstance(rights, Rights)
        return rights

    @web.middleware
    async def middleware(self, request: web.Request, handler: Next) -> web.StreamResponse:
        """Refuse with one line, answer a preflight, redirect away from `?token=`, or pass the request on."""
        # Never `or`: with older versions of aiohttp (3.11) a response is an empty mapping, and therefore false.
        for check in (self._check_host, self._check_origin):
            refusal = check(request)
            if refusal is not None:
                return refusal
        if request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers:
            return self._preflight(request)
        answer = self._check_token(request)
        return answer if answer is not None else await handler(request)

    def _check_host(self, request: web.Request) -> web.Response | None:
        """Against DNS rebinding: only names that this listener is known to have."""
        named = request.headers.getall(hdrs.HOST, [])
        authority = parse_authority(named[0]) if len(named) == 1 else None
        if authority is None:
            return _refuse(400, "the request names no usable Host")
        if authority in self._hosts:
            return None
        log.debug("request.refused", reason="host", host=authority.host)
        return _refuse(
            403,
            f"this listener does not answer to the host name {authority.host!r}; "
            f'if it should, add it: [{self._section}] allowed_hosts = ["{authority.host}"]',
        )

    def _check_origin(self, request: web.Request) -> web.Response | None:
        """Against other web sites: Origin must be ours or configured; without one, Sec-Fetch-Site decides."""
        origins = request.headers.getall(hdrs.ORIGIN, [])
        if not origins:
            crossing = request.headers.get("Sec-Fetch-Site") == "cross-site"
            if not crossing or _is_navigation(request):
                return None
            return _refuse(403, "another web site may not load this")
        if len(origins) == 1 and self._is_own_origin(request, origins[0]):
            return None
        if len(origins) == 1 and normal_origin(origins[0]) in self._cors:
            return None
        log.debug("request.refused", reason="origin", origin=origins[0][:100])
        return _refuse(
            403,
            "pages of another web site may not use this; "
            f"if they should, name the site's origin in [{self._section}] cors_origins",
        )

    def _is_own_origin(self, request: web.Request, origin: str) -> bool:
        host = request.headers[hdrs.HOST]
        return same_origin(origin, host, schemes=(request.scheme, *self._proxied_schemes(request)))

    def _names_configured_host(self, request: web.BaseRequest) -> bool:
        authority = parse_authority(request.headers.get(hdrs.HOST, "")) or Authority("", None)
        return self._hosts.was_configured(authority)

    def _proxied_schemes(self, request: web.Request) -> tuple[str, ...]:
        """A proxy may speak TLS in front of this plain listener: one that a person configured, or that says so and is believed."""
        configured = self._names_configured_host(request)
        return ("https",) if configured or self._proxies.over_tls(request, configured=False) else ()

    def _cors_origin(self, request: web.BaseRequest) -> str | None:
        origin = request.headers.get(hdrs.ORIGIN)
        return origin if origin is not None and normal_origin(origin) in self._cors else None

    def _preflight(self, request: web.Request) -> web.Response:
        # Access-Control-Allow-Origin itself is added to every response by _add_headers.
        response = web.Response(status=204)
        if self._cors_origin(request) is not None:
            response.headers["Access-Control-Allow-Methods"] = _CORS_METHODS
            response.headers["Access-Control-Allow-Headers"] = _CORS_HEADERS
            response.headers["Access-Control-Max-Age"] = "600"
            if request.headers.get("Access-Control-Request-Private-Network") == "true":
                response.headers["Access-Control-Allow-Private-Network"] = "true"
        return response

    def _check_token(self, request: web.Request) -> web.StreamResponse | None:
        if self._credentials is None:
            request[_RIGHTS] = ADMIN
            return None
        if request.path in self._open_paths:
            return None
        upgrade = is_upgrade(request)
        page = _is_page(request)
        remote = self.client_of(request)
        found = self._credentials.of(request, remote, allow_query=upgrade or page)
        if found is None and upgrade and self._anonymous_sockets:
            return None
        if isinstance(found, Rights):
            return self._let_in(request, found, self._credentials if page else None)
        if found is not None:
            self._refused(request, remote, found)
            if found.retry_after:
                return throttled(found)
        elif upgrade:
            self._refused(request, remote, Denied("no token was shown", "token-needed"))
        return token_needed(request, self._section, found)

    def _let_in(self, request: web.Request, rights: Rights, page: Credentials | None) -> web.StreamResponse | None:
        if page is not None and "token" in request.query:
            return self._redirect(request, page, rights)
        if request.path in self._admin_paths and not rights.is_admin:
            self._refused(request, self.client_of(request), Denied("not for this role", "forbidden"))
            return not_allowed(request)
        request[_RIGHTS] = rights
        return None

    def _redirect(self, request: web.Request, credentials: Credentials, rights: Rights) -> web.StreamResponse:
        """To the same page without the token, which then is neither in the history nor in a Referer."""
        target = request.rel_url.without_query_params("token")
        # Leading slashes are collapsed: `//evil.example/?token=` would otherwise redirect to another host.
        location = "/" + str(target).lstrip("/\\")
        response = web.Response(status=303, headers={hdrs.LOCATION: location})
        cookie = credentials.cookie_for(request.query["token"])
        # Whoever may do everything and tries an invite out goes on being that.
        kept = rights.is_admin and cookie_name(request) in request.cookies
        if cookie is not None and not kept:
            response.set_cookie(
                cookie_name(request),
                cookie[0],
                max_age=cookie[1],
                httponly=True,
                samesite="Strict",
                path="/",
                secure=self._proxies.over_tls(request, configured=self._names_configured_host(request)),
            )
        return response

    async def _add_headers(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        headers = response.headers
        headers[hdrs.SERVER] = "edgecam"
        headers.setdefault("X-Content-Type-Options", "nosniff")
        headers.setdefault("Referrer-Policy", "no-referrer")
        headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
        if self._cors:
            headers.add(hdrs.VARY, hdrs.ORIGIN)
        origin = self._cors_origin(request)
        if origin is not None:
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = _CORS_EXPOSED


def is_upgrade(request: web.BaseRequest) -> bool:
    """Whether the request asks for a WebSocket (RFC 6455)."""
    return request.headers.get(hdrs.UPGRADE, "").lower() == "websocket"


def _is_page(request: web.Request) -> bool:
    """Whether `?token=` may stand in its address: what a person opens, not what a program calls."""
    reads = request.method in {"GET", "HEAD"} and not is_upgrade(request)
    return reads and not request.path.startswith(API_PREFIXES)


def _is_navigation(request: web.Request) -> bool:
    return request.method in {"GET", "HEAD"} and request.headers.get("Sec-Fetch-Mode") == "navigate"


def _refuse(status: int, line: str) -> web.Response:
    # Connection: close, so that a refused body is not read.
    return web.Response(status=status, text=line + "\n", headers={hdrs.CONNECTION: "close"})
