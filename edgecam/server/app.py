"""The bundled signaling server as an aiohttp application, and the coroutine behind `edgecam server`."""

from __future__ import annotations

import asyncio
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from functools import partial

import structlog
from aiohttp import web

from edgecam.health import HealthBoard
from edgecam.http.admission import MAX_CONNECTIONS
from edgecam.http.guard import Guard, is_upgrade
from edgecam.http.listener import application, listening, urls_of
from edgecam.http.pages import add_static, page
from edgecam.http.proxies import Proxies
from edgecam.http.rights import Denied
from edgecam.http.tls import Certificate
from edgecam.http.tokens import TokenInfo, listener_token, state_dir_of
from edgecam.ice_servers.provider import ConfiguredIceServers, Job
from edgecam.notify import ServiceNotifier
from edgecam.peers import PeerIceServers
from edgecam.server.access import Access
from edgecam.server.audit import AuditFile, AuditLog
from edgecam.server.cluster.joining import cluster_jobs
from edgecam.server.garbage import collect_in_rounds
from edgecam.server.hub import Hub
from edgecam.server.reception import Reception
from edgecam.server.reload import Parts, SettingsReload, room
from edgecam.server.resumption import Lines
from edgecam.server.service import Reloading, report
from edgecam.server.status import CONTENT_TYPE, Status
from edgecam.settings import ServerSettings, Settings
from edgecam.signaling.fields import ice_servers_to
from edgecam.supervisor import background

log = structlog.get_logger(__name__)

HUB = web.AppKey("HUB", Hub)
LINES = web.AppKey("LINES", Lines)
PARTS = web.AppKey("PARTS", Parts)

# Seconds by which news of the camera list is held back, so that a thousand cameras that come back at once are
# one message to each viewer and not a thousand.
LIST_DELAY = 0.2
SWEEP_EVERY = 10.0  # seconds between two rounds of forgetting
ACCESS_EVERY = 2.0  # seconds between two looks at keys and revocations


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


def build_app(
    settings: ServerSettings, token: str | None, ice_servers: PeerIceServers | None = None, access: Access | None = None
) -> web.Application:
    """The server's application: sockets on /ws and /, pages, /healthz, /status, /metrics, /api/v1/cameras."""
    audit = AuditLog(AuditFile(settings.audit_file, settings.audit_file_bytes) if settings.audit_file else None)

    def refused(request: web.Request, remote: str, denied: Denied) -> None:
        audit.note("refused", remote, code=denied.code, reason=denied.message, path=request.path)

    signed = access or Access(settings)
    guard = Guard(
        settings,
        token,
        section="server",
        admin_paths={"/status", "/metrics"},
        anonymous_sockets=settings.allow_anonymous,
        signed=signed,
        public_url=settings.public_url,
        refused=refused,
    )
    announcements = _Announcements()
    hub = Hub(
        ice_servers or ConfiguredIceServers(settings.ice_servers, HealthBoard()),
        max_cameras=settings.max_cameras,
        max_viewers=settings.max_viewers,
        authorize=guard.judge,
        audit=audit,
        cameras_changed=announcements.changed,
    )
    announcements.hub = hub
    lines = Lines(
        hub, guard.judge, audit, seconds=settings.resume_within, register_within=settings.limits.register_within
    )
    reception = Reception(guard, lines, audit, settings.limits, room=room(settings))
    app = application(guard)
    app[HUB], app[LINES], app[PARTS] = hub, lines, Parts(guard, hub, reception, signed)
    _add_routes(app, guard, reception, Status(hub, lines, reception, audit))

    async def housekeeping(_app: web.Application) -> AsyncIterator[None]:
        async with background(("server.sweep", partial(_sweep, lines)), ("server.heartbeats", reception.heartbeats.run)):
            yield
        announcements.stop()
        audit.close()

    async def close_sockets(_app: web.Application) -> None:
        reception.close()

    app.cleanup_ctx.append(housekeeping)
    app.on_shutdown.append(close_sockets)
    return app


async def _sweep(lines: Lines) -> None:
    while True:
        await asyncio.sleep(SWEEP_EVERY)
        lines.sweep()


def _add_routes(app: web.Application, guard: Guard, reception: Reception, status: Status) -> None:
    hub, list_cameras = app[HUB], page("cameras.html")

    async def index(request: web.Request) -> web.StreamResponse:
        # The original clients connect to ws://host:8080 with no path.
        return await (reception.serve(request) if is_upgrade(request) else list_cameras(request))

    async def cameras(request: web.Request) -> web.StreamResponse:
        return web.json_response(hub.cameras(guard.rights_of(request)))

    async def viewer(request: web.Request) -> web.StreamResponse:
        """How a page connects on this host, through which ICE servers, and what it may do."""
        rights = guard.rights_of(request)
        servers = ice_servers_to(hub.ice_servers(f"page.{secrets.token_hex(4)}"))
        may = {"role": rights.role, "cameras": list(rights.cameras)}
        document = {"transport": "websocket", **servers, "cameras": hub.cameras(rights), "relayOnly": False, "may": may}
        return web.json_response(document)

    async def healthz(_request: web.Request) -> web.StreamResponse:
        return web.Response(text="ok\n")

    async def show_status(_request: web.Request) -> web.StreamResponse:
        return web.json_response(status.document())

    async def metrics(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=status.metrics().encode(), headers={"Content-Type": CONTENT_TYPE})

    app.router.add_get("/", index)
    app.router.add_get("/ws", reception.serve)
    app.router.add_get("/view/{camera}", page("viewer.html"))
    app.router.add_get("/send", page("send.html"))
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/status", show_status)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/api/v1/cameras", cameras)
    app.router.add_get("/api/v1/viewer", viewer)
    add_static(app)


async def serve(
    settings: Settings,
    *,
    announce: Callable[[Sequence[str], TokenInfo], None] | None = None,
    sockets: Sequence[socket.socket] = (),
    reread: Callable[[], Settings] | None = None,
) -> None:
    """Run the bundled server until cancelled. Raises ConfigError and FatalError.

    `announce(links, token)` is called once it listens; by default the links are printed. SIGHUP has keys, revocations and
    certificate read again at once, and with `reread` the settings. `sockets` listen already and are used instead of [server] listen.
    """
    section, state_dir = settings.server, state_dir_of(settings)
    info = listener_token(section, state_dir, "server")
    access = Access(section, state_dir if info.token is not None else None)
    access.begin()
    certificate = _certificate(section)
    ice_servers = ConfiguredIceServers(section.ice_servers, HealthBoard())
    app = build_app(section, info.token, ice_servers, access)
    with ServiceNotifier() as notifier:
        asked = asyncio.Event()
        refresh = [access.refresh, *([certificate.refresh] if certificate is not None else [])]
        settled = SettingsReload(reread, settings, app[PARTS]) if reread is not None else lambda: None
        reloading = Reloading(notifier, refresh, asked, settled)
        jobs: list[Job] = [
            ("server.access", partial(_watch_access, access, app[LINES], asked)),
            ("server.garbage", collect_in_rounds),
            ("server.reload", reloading.run),
            ("server.service", partial(report, notifier, partial(_summary, app[HUB]))),
        ]
        if certificate is not None:
            jobs.append(("server.certificate", certificate.watch))
        async with (
            reloading.on_hangup(),
            background(*ice_servers.jobs, *jobs, *cluster_jobs(section, app[HUB], HealthBoard())),
            listening(
                app,
                section.address,
                name="server",
                sockets=sockets,
                connections=room(section) + MAX_CONNECTIONS,  # sockets, and the pages' requests
                tls=certificate.context if certificate is not None else None,
                # Beyond this nobody is even told why: below it requests are answered, with 429.
                per_address=2 * section.limits.connections_per_address,
                stands_for_many=Proxies(section.trusted_proxies).trusts,
            ) as bound,
        ):
            links = urls_of(bound, info.token, scheme="https" if certificate is not None else "http")
            (announce or print_links)(links, info)
            notifier.ready()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                notifier.stopping()


def _summary(hub: Hub) -> str:
    """STATUS= of the service."""
    return f"cameras online: {hub.registry.count_online}, viewers: {len(hub.registry.viewers)}"


def _certificate(section: ServerSettings) -> Certificate | None:
    """The configured one, loaded. Raises ConfigError."""
    if section.tls_certificate is None or section.tls_key is None:
        return None
    certificate = Certificate(section.tls_certificate, section.tls_key)
    certificate.load()
    return certificate


async def _watch_access(access: Access, lines: Lines, asked: asyncio.Event) -> None:
    seen = access.revoked
    while True:
        with suppress(TimeoutError):
            await asyncio.wait_for(asked.wait(), ACCESS_EVERY)
        asked.clear()
        await asyncio.to_thread(access.refresh)
        if access.revoked is not seen:  # read here, or when somebody showed an unknown token
            seen = access.revoked
            lines.end_revoked(seen)


def print_links(links: Sequence[str], info: TokenInfo) -> None:
    """Write the links to a terminal; elsewhere, where output is kept in a log, without the token."""
    show = sys.stdout.isatty() or info.token is None
    lines = [f"  {link if show else link.partition('?')[0]}" for link in links]
    if not show:
        lines.append(f"  (the token is in {info.path})" if info.path else "  (the token is the configured one)")
    sys.stdout.write("edgecam signaling server:\n" + "\n".join(lines) + "\n")
    sys.stdout.flush()
