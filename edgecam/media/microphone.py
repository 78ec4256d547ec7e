"""A camera's sound: encoded once for all who listen, and only while somebody does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import structlog

from edgecam.health import Component, Condition
from edgecam.media.presence import Presence
from edgecam.media.types import SoundPacket
from edgecam.privacy import PrivacySwitch

log = structlog.get_logger(__name__)

LINGER = 5.0  # seconds that it stays open after the last one who listened

Deliver = Callable[[SoundPacket], None]


class SoundSource(Protocol):
    """A microphone that is captured and encoded somewhere else."""

    async def run(self, opened: Callable[[str], None], heard: Callable[[SoundPacket], None]) -> None:
        """Open, deliver until broken, release; raises RetryableError when broken, never returns otherwise."""


class Microphone:
    """Who listens, and what they are given. `run()` is one attempt: it raises when the source breaks, and the supervisor runs it
    again; listeners stay. A private camera is not heard either."""

    def __init__(self, name: str, source: SoundSource, component: Component, privacy: PrivacySwitch) -> None:
        self.name = name
        self.component = component
        self.source_name = ""
        self.packets = 0
        self._source = source
        self._privacy = privacy
        self._presence = Presence(always=False, linger=LINGER, changed=self._stir)
        self._listeners: tuple[Deliver, ...] = ()  # replaced, never changed: one may leave while a packet is handed round
        self._stirred = asyncio.Event()
        privacy.listen(self._stir)

    # what listeners call

    def prepare(self, who: object) -> None:
        """Somebody is about to listen."""
        self._presence.enter(who)

    def release(self, who: object) -> None:
        """They do not, or no more. Idempotent."""
        self._presence.leave(who)

    def listen(self, deliver: Deliver) -> None:
        """Hand every packet to `deliver`, which must be quick and never raise."""
        self._listeners = (*self._listeners, deliver)

    def forget(self, deliver: Deliver) -> None:
        """Also of one that does not listen."""
        self._listeners = tuple(other for other in self._listeners if other != deliver)

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    # what the supervisor calls

    async def run(self) -> None:
        while True:
            if not self._wanted:
                self._component_rests()
            await self._until(lambda: self._wanted)
            await self._open()

    @property
    def _wanted(self) -> bool:
        return self._presence.needed and not self._privacy.private

    async def _open(self) -> None:
        """Until nobody wants it, or it breaks."""
        source = asyncio.ensure_future(self._source.run(self._opened, self._heard))
        unwanted = asyncio.ensure_future(self._until(lambda: not self._wanted))
        try:
            await asyncio.wait({source, unwanted}, return_when=asyncio.FIRST_COMPLETED)
            if source.done():
                source.result()
        finally:
            source.cancel()
            unwanted.cancel()
            await asyncio.wait({source, unwanted})
            if not source.cancelled():
                source.exception()  # what broke while it was being closed does not matter any more

    def _opened(self, name: str) -> None:
        self.source_name = name
        log.info("microphone.opened", camera=self.name, source=name)

    def _heard(self, packet: SoundPacket) -> None:
        self.packets += 1
        if self.component.state.condition is not Condition.RUNNING:
            self.component.running()
        for deliver in self._listeners:
            deliver(packet)

    def _component_rests(self) -> None:
        private = self._privacy.private
        self.component.resting("private" if private else "unheard", self._privacy.detail if private else "off: nobody listens")

    def _stir(self) -> None:
        self._stirred.set()

    async def _until(self, so: Callable[[], bool]) -> None:
        while not so():
            self._stirred.clear()
            lingers = self._presence.lingers
            with suppress(TimeoutError):
                async with asyncio.timeout(lingers if lingers > 0 else None):
                    await self._stirred.wait()
