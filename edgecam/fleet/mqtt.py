"""The device told to an MQTT broker: what is to stand there is made anew each time, and what differs is written.

So nothing queues up: while the broker is away there is one wish for each topic, the newest.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import structlog

from edgecam import __version__
from edgecam.errors import EdgecamError
from edgecam.fleet import optional
from edgecam.fleet.brokerline import LEAVE_WITHIN, BrokerLine, Message, MqttError
from edgecam.fleet.homeassistant import HomeAssistant, Shown
from edgecam.fleet.identity import Device
from edgecam.fleet.topics import AVAILABLE, GONE, Topics
from edgecam.health import HealthBoard
from edgecam.media.pipeline import Pipeline
from edgecam.redaction import mask_text
from edgecam.settings import MqttSettings
from edgecam.supervisor import Backoff

log = structlog.get_logger(__name__)

BACKOFF = Backoff(first=1.0, cap=60.0, reset_after=60.0)
SETTLE = 0.5  # seconds between two rounds, however often states change
SNAPSHOT_PAUSE = 1.0  # seconds between two pictures of a camera, however often somebody asks


def wanted(settings: MqttSettings) -> bool:
    """Whether there is a broker to tell. Raises ConfigError when there is and python3-paho-mqtt is missing."""
    if settings.broker is None:
        return False
    optional.require("paho", wanted_by="[mqtt] url", package="python3-paho-mqtt", extra="mqtt")
    return True


class MqttReport:
    """Keeps the broker informed while `run` runs, which is one connection. `snapshot` gives a JPEG of a camera, None when there is
    none now; `temperature` degrees Celsius; `page` the address of the device's own pages, with a slash at the end."""

    def __init__(
        self,
        device: Device,
        settings: MqttSettings,
        pipelines: Mapping[str, Pipeline],
        board: HealthBoard,
        snapshot: Callable[[str], Awaitable[bytes | None]],
        page: Callable[[], str],
        temperature: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._device = device
        self._settings = settings
        self._pipelines = pipelines
        self._board = board
        self._take = snapshot
        self._temperature = temperature
        self.component = board.aside("mqtt")
        self.topics = Topics(f"{settings.topic_prefix}/{device.id}")
        self._page = page
        self._thermometer = False  # one was there at some time
        self._written: dict[str, bytes] = {}  # retained, on this connection
        self._asked: set[str] = set()  # cameras of which somebody wants a picture
        self._taken: dict[str, float] = {}  # CLOCK_MONOTONIC seconds of each camera's last picture

    async def run(self) -> None:
        """One connection, from birth to end. Raises MqttError."""
        self._written.clear()
        self._asked.clear()
        async with BrokerLine(self._settings, f"edgecam-{self._device.id}", (self.topics.availability, GONE)) as line:
            self._board.watch(line.heard.set)
            try:
                line.subscribe(self._own_leftovers())
                await self._write(line)
                self.component.running(f"connected to {line.broker}")
                line.subscribe(self._commands())
                await asyncio.sleep(SETTLE)
                line.unsubscribe(self._own_leftovers())
                await self._keep_informed(line)
            except asyncio.CancelledError:
                await self._last_word(line)
                raise
            finally:
                self._board.unwatch(line.heard.set)

    def _entities(self) -> HomeAssistant:
        settings = self._settings
        return HomeAssistant(
            self._device,
            self.topics,
            settings.discovery_prefix,
            self._page(),
            snapshots=settings.snapshots,
            temperature=self._has_thermometer(),
            privacy_switch=settings.privacy_switch,
        )

    def _has_thermometer(self) -> bool:
        """The first reading may come after the first connection, and one that fails takes no entity away."""
        self._thermometer = self._thermometer or self._temperature() is not None
        return self._thermometer

    async def _keep_informed(self, line: BrokerLine) -> None:
        while True:
            for message in line.received():
                await self._hear(line, message)
            await self._write(line)
            await self._send_snapshots(line)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause()):
                    await line.heard.wait()
            await asyncio.sleep(SETTLE)

    def _commands(self) -> list[str]:
        snapshots = [self.topics.take_snapshot("+")] if self._settings.snapshots else []
        return [*snapshots, *([self.topics.set_private("+")] if self._settings.privacy_switch else [])]

    def _pause(self) -> float:
        every = self._settings.snapshot_every
        return min(self._settings.every, every) if every else self._settings.every

    async def _last_word(self, line: BrokerLine) -> None:
        with suppress(MqttError, TimeoutError):
            async with asyncio.timeout(LEAVE_WITHIN):
                await line.publish(self.topics.availability, GONE, retain=True)

    # what stands on the broker

    async def _write(self, line: BrokerLine) -> None:
        """Write what differs, and take away what is no more."""
        wanted = dict(self._wanted())
        for topic in self._written.keys() - wanted.keys():
            await line.publish(topic, b"", retain=True)
            del self._written[topic]
        for topic, payload in wanted.items():
            if self._written.get(topic) != payload:
                await line.publish(topic, payload, retain=True)
                self._written[topic] = payload

    def _wanted(self) -> Iterator[tuple[str, bytes]]:
        """Every retained message; `online` comes last, when all of it is there."""
        pipelines = list(self._pipelines.values())
        if self._settings.discovery_prefix:
            yield from self._entities().messages([Shown(p.name, p.title) for p in pipelines])
        yield self.topics.device_state, _json(self._device_state())
        for pipeline in pipelines:
            yield self.topics.camera_state(pipeline.name), _json(camera_state(pipeline))
        yield self.topics.availability, AVAILABLE

    def _device_state(self) -> dict[str, Any]:
        reasons = [mask_text(reason) for reason in self._board.reasons]
        state: dict[str, Any] = {
            "problem": _on(bool(reasons)),
            "reasons": reasons,
            "name": self._device.name,
            "location": self._device.location,
            "version": __version__,
        }
        if self._has_thermometer():
            celsius = self._temperature()
            state["temperature_celsius"] = celsius and round(celsius, 1)
        return state

    def _own_leftovers(self) -> list[str]:
        """Where messages of an earlier life may stand, of cameras that are no more. The broker sends them once, when asked."""
        prefix = self._settings.discovery_prefix
        return [self.topics.camera_state("+"), *([self._entities().all_topics] if prefix else [])]

    # what comes in

    async def _hear(self, line: BrokerLine, message: Message) -> None:
        camera = self.topics.camera_of(message.topic)
        commands = {self.topics.take_snapshot(camera): self._asked_for, self.topics.set_private(camera): self._set_private}
        if message.topic in commands:
            # A retained one is as old as may be: nobody commands it now.
            if not message.retained and camera in self._pipelines:
                await commands[message.topic](camera, message.payload)
        elif message.retained and message.payload and message.topic not in dict(self._wanted()):
            await line.publish(message.topic, b"", retain=True)

    async def _asked_for(self, camera: str, _payload: bytes) -> None:
        self._asked.add(camera)

    async def _set_private(self, camera: str, payload: bytes) -> None:
        if payload not in {b"ON", b"OFF"}:
            return
        try:
            await self._pipelines[camera].privacy.set(private=payload == b"ON", by="mqtt")
        except EdgecamError as error:
            log.warning("mqtt.privacy", camera=camera, reason=str(error))

    # pictures

    async def _send_snapshots(self, line: BrokerLine) -> None:
        for camera in self._due():
            asked = camera in self._asked
            self._asked.discard(camera)
            self._taken[camera] = time.monotonic()
            picture: bytes | None = None
            with suppress(ValueError):  # a keyframe that does not decode
                picture = await self._take(camera)
            if picture is not None:
                await line.publish(self.topics.snapshot(camera), picture)
            elif asked:
                log.info("mqtt.no-picture", camera=camera, reason="it gives none now, or is private")

    def _due(self) -> list[str]:
        if not self._settings.snapshots:
            return []
        now, every = time.monotonic(), self._settings.snapshot_every
        waited = {name: now - self._taken.get(name, float("-inf")) for name in self._pipelines}
        return [name for name, s in waited.items() if (every and s >= every) or (name in self._asked and s >= SNAPSHOT_PAUSE)]


def camera_state(pipeline: Pipeline) -> dict[str, Any]:
    """What the broker is told of a camera; bitrate in kbit/s."""
    state = pipeline.component.state
    fps, bps = pipeline.best.measured()
    return {
        "state": str(state.condition),
        "problem": _on(not state.ready),
        "private": _on(pipeline.privacy.private),
        "code": state.code,
        "detail": mask_text(state.detail),
        "viewers": pipeline.subscribers,
        "fps": round(fps, 1),
        "bitrate": round(bps / 1000),
    }


def _on(value: bool) -> str:
    return "ON" if value else "OFF"


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
