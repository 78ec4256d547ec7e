"""The bundled signaling server as an aiohttp application, and the coroutine behind `edgecam server`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence

import structlog
from aiohttp import web

from edgecam.http.admission import MAX_CONNECTIONS
from edgecam.http.guard import Guard, is_upgrade
from edgecam.http.listener import application, listening, urls_of
from edgecam.http.pages import add_static, page
from edgecam.http.tokens import TokenInfo, listener_token, state_dir_of
from edgecam.server.hub import Hub
from edgecam.server.sockets import CLOSE_TIMEOUT, HEARTBEAT, Socket
from edgecam.settings import ServerSettings, Settings
from edgecam.signaling.fields import MAX_MESSAGE_BYTES, ice_servers_to

log = structlog.get_logger(__name__)

HUB = web.AppKey("HUB", Hub)
SOCKETS = web.AppKey("SOCKETS", set[Socket])

# Seconds by which news of the camera list is held back, so that a thousand cameras that come back at once are
# one message to each viewer and not a thousand.
LIST_DELAY = 0.2
UNREGISTERED = 256  # connections beyond the registered cameras and viewers
CLOSE_GOING_AWAY = 1001  # RFC 6455 section 7.4.1


class _Announcements:
    """Coalesces changes of the camera list into one timer."""

    def __init__(self) -> None:
        self.hub: Hub | None = None
        self._timer: asyncio.TimerHandle | None = None

    def changed(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LIST_DELAY, self._announce)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _announce(self) -> None:
        self._timer = None
        if self.hub is not None:
            self.hub.announce_cameras()


def build_app(settings: ServerSettings, token: str | None) -> web.Application:
    """The server's application: sockets on /ws and /, pages, /healthz, /status, /api/v1/cameras."""
    guard = Guard(settings, token, section="server", anonymous_sockets=settings.allow_anonymous)
    announcements = _Announcements()
    hub = Hub(
        settings.ice_servers,
        max_cameras=settings.max_cameras,
        max_viewers=settings.max_viewers,
        token_refused=guard.token_refused,
        anonymous_cameras=settings.allow_anonymous,
        cameras_changed=announcements.changed,
    )
    announcements.hub = hub
    app = application(guard)
    app[HUB], app[SOCKETS] = hub, set()
    room = settings.max_cameras + settings.max_viewers + UNREGISTERED
    list_cameras = page("cameras.html")

    async def socket(request: web.Request) -> web.StreamResponse:
        return await _serve_socket(request, guard, room=room)

    async def index(request: web.Request) -> web.StreamResponse:
        # The original clients connect to ws://host:8080 with no path.
        return await (socket(request) if is_upgrade(request) else list_cameras(request))

    app.router.add_get("/", index)
    app.router.add_get("/ws", socket)
    app.router.add_get("/view/{camera}", page("viewer.html"))
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/status", _status)
    app.router.add_get("/api/v1/cameras", _cameras)
    app.router.add_get("/api/v1/viewer", _viewer)
    add_static(app)
    app.on_shutdown.append(_close_sockets)

    async def stop_announcing(_app: web.Application) -> AsyncIterator[None]:
        yield
        announcements.stop()

    app.cleanup_ctx.append(stop_announcing)
    return app


async def _serve_socket(request: web.Request, guard: Guard, *, room: int) -> web.StreamResponse:
    hub, sockets = request.app[HUB], request.app[SOCKETS]
    if len(hub.clients) >= room:
        raise web.HTTPServiceUnavailable(text="the server has as many clients as it may have\n")
    # aiohttp refuses messages of exactly the limit, hence one more.
    ws = web.WebSocketResponse(
        heartbeat=HEARTBEAT, timeout=CLOSE_TIMEOUT, max_msg_size=MAX_MESSAGE_BYTES + 1, compress=False
    )
    await ws.prepare(request)
    socket = Socket(ws, request, guard.client_of(request))
    sockets.add(socket)
    client = hub.connect(socket, vouched=guard.vouches(request))
    try:
        await socket.serve(hub, client)
    finally:
        sockets.discard(socket)
        hub.disconnect(client)
    return ws


async def _close_sockets(app: web.Application) -> None:
    for socket in app[SOCKETS]:
        socket.close(CLOSE_GOING_AWAY, "the server is stopping")


async def _healthz(_request: web.Request) -> web.StreamResponse:
    return web.Response(text="ok\n")


async def _status(request: web.Request) -> web.StreamResponse:
    return web.json_response(request.app[HUB].status)


async def _cameras(request: web.Request) -> web.StreamResponse:
    return web.json_response(request.app[HUB].cameras)


async def _viewer(request: web.Request) -> web.StreamResponse:
    """How the viewer page connects on this host, and through which ICE servers."""
    hub = request.app[HUB]
    servers = ice_servers_to(hub.ice_servers)
    return web.json_response({"transport": "websocket", **servers, "cameras": hub.cameras, "relayOnly": False})


async def serve(
    settings: Settings,
    *,
    announce: Callable[[Sequence[str], TokenInfo], None] | None = None,
    socket_fd: int | None = None,
) -> None:
    """Run the bundled server until cancelled. Raises ConfigError and FatalError.

    `announce(links, token)` is called once it listens; by default the links are printed.
    """
    info = listener_token(settings.server, state_dir_of(settings), "server")
    app = build_app(settings.server, info.token)
    room = settings.server.max_cameras + settings.server.max_viewers + UNREGISTERED
    connections = room + MAX_CONNECTIONS  # sockets, and the pages' requests
    address = settings.server.address
    async with listening(app, address, name="server", socket_fd=socket_fd, connections=connections) as bound:
        (announce or print_links)(urls_of(bound, info.token), info)
        await asyncio.get_running_loop().create_future()


def print_links(links: Sequence[str], info: TokenInfo) -> None:
    """Write the links to a terminal; elsewhere, where output is kept in a log, without the token."""
    show = sys.stdout.isatty() or info.token is None
    lines = [f"  {link if show else link.partition('?')[0]}" for link in links]
    if not show:
        lines.append(f"  (the token is in {info.path})" if info.path else "  (the token is the configured one)")
    sys.stdout.write("edgecam signaling server:\n" + "\n".join(lines) + "\n")
    sys.stdout.flush()
