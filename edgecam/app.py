"""The composition root of the daemon: who owns whom, in the order in which things open and close.

Cameras are outermost, viewers live inside them, signaling and HTTP inside those: leaving runs upwards, so that
viewers get their BYE while the cameras still run, and nothing new comes in while they do.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import structlog

from edgecam.capture.process import CaptureProcess
from edgecam.health import HealthBoard
from edgecam.http.listener import listening, urls_of
from edgecam.http.tokens import TokenInfo, listener_token, state_dir_of
from edgecam.media.pipeline import Pipeline
from edgecam.notify import ServiceNotifier
from edgecam.rtc.viewers import Viewers
from edgecam.settings import Settings
from edgecam.signaling.reasons import endpoint
from edgecam.signaling.websocket import WebsocketExchange
from edgecam.supervisor import Backoff, background, supervise
from edgecam.web.app import build_app
from edgecam.web.context import SignalingLine, WebContext

log = structlog.get_logger(__name__)

# A camera that comes back should be seen at once; trying to open one costs little.
CAMERA_BACKOFF = Backoff(first=0.25, cap=1.0, reset_after=10.0)
SIGNALING_BACKOFF = Backoff(first=0.5, cap=30.0, reset_after=60.0)
READY_WITHIN = 20.0  # seconds after the start until systemd is told READY, whatever still starts
STUCK_LOOK = 1.0  # seconds between two looks at a camera that is stuck


@dataclass(frozen=True, slots=True)
class Opened:
    """The running daemon, as told to whoever started it. `links` contain the token, `generated` says it is new to
    the person."""

    links: Sequence[str]
    token: TokenInfo


async def run_daemon(settings: Settings, *, on_open: Callable[[Opened], None] | None = None) -> None:
    """Stream until cancelled. Raises EdgecamError for what a person must mend first (a busy port, for example)."""
    board = HealthBoard()
    pipelines = _pipelines(settings, board)
    viewers = Viewers(pipelines, settings.ice, settings.viewers)
    exchanges, lines = _signaling(settings, board, pipelines, viewers)
    name = socket.gethostname()
    context = WebContext(name, board, pipelines, viewers, settings.ice, lines)
    token = listener_token(settings.web, state_dir_of(settings), "web")
    app = build_app(settings.web, token.token, context)
    cameras = [
        (f"camera {p.name}", partial(supervise, p.run, p.component, CAMERA_BACKOFF)) for p in pipelines.values()
    ]
    with ServiceNotifier() as notifier:
        async with (
            listening(app, settings.web.address, name="web") as address,
            background(*cameras),
            viewers.serving(),
            background(*((exchange.name, exchange.run) for exchange in exchanges)),
            background(("service notifications", partial(_report_to_systemd, board, pipelines.values(), notifier))),
        ):
            if on_open is not None:
                on_open(Opened(urls_of(address, token.token), token))
            try:
                await asyncio.Event().wait()
            finally:
                notifier.stopping()


def _pipelines(settings: Settings, board: HealthBoard) -> dict[str, Pipeline]:
    return {
        name: Pipeline(name, camera, CaptureProcess(name, camera), board.component(f"camera.{name}"))
        for name, camera in settings.camera.items()
        if camera.enabled
    }


def _signaling(
    settings: Settings, board: HealthBoard, pipelines: dict[str, Pipeline], viewers: Viewers
) -> tuple[list[WebsocketExchange], list[SignalingLine]]:
    exchanges, lines = [], []
    for name, section in settings.signaling.items():
        titles = {p.name: p.title for p in pipelines.values() if not section.cameras or p.name in section.cameras}
        if not titles:
            log.warning("signaling.unused", signaling=name, reason="no enabled camera to offer there")
            continue
        exchange = WebsocketExchange(name, section, titles, viewers, board, SIGNALING_BACKOFF)
        exchanges.append(exchange)
        lines.append(SignalingLine(name, section.type, endpoint(section.url), tuple(titles), exchange.components))
    return exchanges, lines


async def _report_to_systemd(board: HealthBoard, pipelines: Collection[Pipeline], notifier: ServiceNotifier) -> None:
    """READY once every component runs or is in a declared wait, but not later than READY_WITHIN: one slow camera must
    not have the others' daemon killed. STATUS whenever health changes. WATCHDOG in time, while every part moves."""
    changed = asyncio.Event()
    board.watch(changed.set)
    changed.set()
    announced = False
    stuck: list[str] = []
    while True:
        waits = [notifier.watchdog_interval, STUCK_LOOK if stuck else None]
        waits.append(None if announced else max(0.0, board.started + READY_WITHIN - time.monotonic()))
        with suppress(TimeoutError):
            async with asyncio.timeout(min((wait for wait in waits if wait is not None), default=None)):
                await changed.wait()
        changed.clear()
        before, stuck = stuck, [pipeline.name for pipeline in pipelines if pipeline.stuck]
        if not stuck:
            notifier.watchdog()
        elif not before:
            log.error("watchdog.withheld", cameras=stuck, reason="said to run, but without pictures for too long")
        notifier.status(board.summary)
        if not announced and (board.settled or time.monotonic() >= board.started + READY_WITHIN):
            announced = True
            notifier.ready()
            log.info("daemon.ready", summary=board.summary)
