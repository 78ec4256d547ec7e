"""Who this device is, and what tells others of it; each made anew when its settings change."""

from __future__ import annotations

from functools import partial

import structlog

from edgecam.app.services import Service
from edgecam.fleet import announcement, mqtt
from edgecam.fleet.announcement import Announcement
from edgecam.fleet.identity import device
from edgecam.fleet.mqtt import MqttReport
from edgecam.http.listener import urls_of
from edgecam.http.tokens import state_dir_of
from edgecam.jobs import Run
from edgecam.settings import Settings
from edgecam.supervisor import supervise
from edgecam.web.context import WebContext
from edgecam.web.routes import picture

log = structlog.get_logger(__name__)


def fleet_services(context: WebContext) -> list[Service]:
    """The device's identity, its announcement by mDNS, and what it tells an MQTT broker."""
    board = context.board

    def identity(settings: Settings) -> None:
        context.device = device(settings.device, state_dir_of(settings))
        log.info("device.identity", id=context.device.id, name=context.device.name, location=context.device.location or None)

    def mdns(settings: Settings) -> Run | None:
        board.remove("mdns")
        if not announcement.wanted(settings.mdns, settings.web.address):
            return None
        announced = Announcement(context.device, settings.mdns, settings.ice, lambda: context.pipelines, board)
        run = lambda: announced.run(context.address or settings.web.address)  # noqa: E731
        return partial(supervise, run, announced.component, announcement.BACKOFF)

    def broker(settings: Settings) -> Run | None:
        board.remove("mqtt")
        if not mqtt.wanted(settings.mqtt):
            return None
        take, page, temperature = partial(_snapshot, context), partial(_page, context), partial(_temperature, context)
        report = MqttReport(context.device, settings.mqtt, context.pipelines, board, take, page, temperature)
        return partial(supervise, report.run, report.component, mqtt.BACKOFF)

    return [
        Service("device", lambda s: s.device, identity),
        Service("mdns", lambda s: (s.device, s.mdns, s.ice), mdns),
        Service("mqtt", lambda s: (s.device, s.mqtt), broker),
    ]


async def _snapshot(context: WebContext, camera: str) -> bytes | None:
    pipeline = context.pipelines.get(camera)
    return await picture(pipeline) if pipeline is not None else None


def _temperature(context: WebContext) -> float | None:
    """Of the processor, degrees Celsius."""
    reading = context.governor.readings.temperature if context.governor is not None else None
    return reading.celsius if reading is not None else None


def _page(context: WebContext) -> str:
    """Where other machines open the status page; empty when they cannot."""
    if context.address is None or context.address.is_loopback:
        return ""
    return next((url for url in urls_of(context.address, None) if "//localhost" not in url), "")
