"""The composition root of the daemon: who owns whom, in the order in which things open and close.

Cameras are outermost, viewers live inside them, signaling and HTTP inside those: leaving runs upwards, so that
viewers get their BYE while the cameras still run, and nothing new comes in while they do.
"""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgecam.app.camerahealth import CameraHealth
from edgecam.app.cameras import Cameras
from edgecam.app.configuration import Beginning, Configuration
from edgecam.app.fleet import fleet_services
from edgecam.app.governing import governor_service
from edgecam.app.ice import CurrentIceServers
from edgecam.app.parts import Parts
from edgecam.app.reload import Reloads
from edgecam.app.services import Service, Services
from edgecam.app.signaling import Connections
from edgecam.app.vitals import note_vitals
from edgecam.blackbox.box import BlackBox
from edgecam.fleet.identity import device
from edgecam.health import HealthBoard
from edgecam.health.clock import ClockWatch
from edgecam.http.guard import Guard
from edgecam.http.listener import listening, urls_of
from edgecam.http.tokens import TokenInfo, listener_token, state_dir_of
from edgecam.jobs import Run
from edgecam.notify import ServiceNotifier
from edgecam.rtc.relay_check import RelayCheck
from edgecam.rtc.viewers import Viewers
from edgecam.settings import Settings
from edgecam.supervisor import background
from edgecam.watchdog import Liveness, report_to_systemd
from edgecam.web.app import build_app
from edgecam.web.context import WebContext


@dataclass(frozen=True, slots=True)
class Opened:
    """The running daemon, as told to whoever started it. `links` contain the token, `generated` says it is new to
    the person."""

    links: Sequence[str]
    token: TokenInfo


async def run_daemon(
    settings: Settings,
    *,
    on_open: Callable[[Opened], None] | None = None,
    blackbox: BlackBox | None = None,
    sockets: Sequence[socket.socket] = (),
    reload: tuple[Configuration, Beginning] | None = None,
    root: Path = Path("/"),
) -> None:
    """Stream until cancelled. `sockets` listen already, where [web] listen says. `reload`: where `settings` come from, which is
    read again on SIGHUP. `root` is where the sensors' `/sys` and `/proc` are found.

    Raises EdgecamError for what a person must mend first (a busy port, for example).
    """
    board = HealthBoard()
    token = listener_token(settings.web, state_dir_of(settings), "web")
    with ServiceNotifier() as notifier:
        parts = _parts(settings, token, board, notifier, blackbox, root)
        app = build_app(parts.guard, parts.context)
        reloads = [("reload", Reloads(parts, *reload, notifier).run)] if reload is not None else []
        # What is there by now stays: without this, each full collection holds every viewer's pictures up for 25 to 65 ms.
        gc.collect()
        gc.freeze()
        async with (
            listening(app, settings.web.address, name="web", sockets=sockets) as parts.context.address,
            parts.cameras.capturing(),
            parts.ice_servers.renewing(),
            parts.viewers.serving(),
            parts.connections.running(),
            parts.services.running(),
            background(*reloads),
        ):
            if on_open is not None:
                on_open(Opened(urls_of(parts.context.address, token.token), token))
            try:
                await asyncio.Event().wait()
            finally:
                notifier.stopping()


def _parts(
    settings: Settings, token: TokenInfo, board: HealthBoard, notifier: ServiceNotifier, blackbox: BlackBox | None, root: Path
) -> Parts:
    cameras = Cameras(settings.camera, board, CameraHealth(settings.health, state_dir_of(settings), board), state_dir_of(settings))
    ice_servers = CurrentIceServers(settings.ice.servers, board)
    viewers = Viewers(cameras.pipelines, settings.ice, settings.viewers, ice_servers)
    connections = Connections(settings, viewers, board, state_dir_of(settings))
    who = device(settings.device, state_dir_of(settings))
    context = WebContext(
        who, board, cameras.pipelines, viewers, ice_servers, connections.lines, callers=connections.callers
    )
    context.blackbox = blackbox
    services = Services(_services(context, notifier, cameras.health, root), settings)
    guard = Guard(settings.web, token.token, announced={f"{who.host}.local"})
    return Parts(guard, cameras, ice_servers, viewers, connections, services, context)


def _services(context: WebContext, notifier: ServiceNotifier, health: CameraHealth, root: Path) -> list[Service]:
    """What runs in the background: a name, what of the settings it is made from, and how. One line each."""
    board, pipelines = context.board, context.pipelines
    liveness = Liveness(board, pipelines, context.viewers)

    def ladders(settings: Settings) -> None:
        health.apply(settings.health)

    def relay_check(settings: Settings) -> Run | None:
        board.remove("relay")
        context.relay_check, every = None, settings.doctor.relay_every
        if not every:
            return None
        context.relay_check = RelayCheck(pipelines, settings.ice, context.viewers.servers, every, board.component("relay"))
        return context.relay_check.run

    return [
        Service("relay check", lambda s: (s.doctor, s.ice), relay_check),
        Service("vitals", lambda _: None, lambda _: None if context.blackbox is None else partial(note_vitals, context.blackbox, context)),
        Service("clock", lambda _: None, lambda _: ClockWatch(board.component("clock")).run),
        Service("ladders", lambda s: s.health, ladders),
        *fleet_services(context),
        governor_service(context, root),
        Service("service notifications", lambda _: None, lambda _: partial(report_to_systemd, board, liveness, notifier)),
    ]
