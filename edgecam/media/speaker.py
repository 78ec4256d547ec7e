"""A camera's loudspeaker: one viewer talks at a time, and it is open only meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from edgecam.health import Component

log = structlog.get_logger(__name__)

FLOOR = 1.0  # seconds of silence after which somebody else may talk
LINGER = 5.0  # seconds that the device stays open after the last word
MAX_WAITING = 25  # packets, half a second: while the device is being opened the oldest are dropped


@dataclass(frozen=True, slots=True)
class Speech:
    """20 ms of somebody's speech, an Opus packet, with its RTP sequence number."""

    sequence: int
    data: bytes


class SoundSink(Protocol):
    """A loudspeaker that somebody else drives."""

    async def run(self, opened: Callable[[str], None]) -> None:
        """Open, play until broken, release; raises RetryableError when broken, never returns otherwise."""

    def play(self, speech: Speech) -> bool:
        """Pass it on; False while it is not open."""


class Speaker:
    """Who talks. `run()` is one attempt: it raises when the sink breaks, and the supervisor runs it again."""

    def __init__(self, name: str, sink: SoundSink, component: Component) -> None:
        self.name = name
        self.component = component
        self.device = ""
        self.refused = 0  # packets of those who may not talk now
        self.talker: object | None = None
        self._sink = sink
        self._heard = float("-inf")  # when the talker was last heard, CLOCK_MONOTONIC seconds
        self._waiting: list[Speech] = []
        self._wanted = asyncio.Event()
        component.resting("silent", "off: nobody talks")

    def say(self, talker: object, speech: Speech) -> bool:
        """Play it, if nobody else is talking; whether it is played."""
        now = time.monotonic()
        if self.talker is not talker and self.talker is not None and now - self._heard < FLOOR:
            self.refused += 1
            return False
        if self.talker is not talker:
            log.info("speaker.talker", camera=self.name, viewer=str(talker))
        self.talker, self._heard = talker, now
        self._wanted.set()
        if not self._sink.play(speech):
            self._waiting = [*self._waiting[1 - MAX_WAITING :], speech]
        return True

    def left(self, talker: object) -> None:
        """Somebody who may have talked has gone."""
        if self.talker is talker:
            self.talker = None

    async def run(self) -> None:
        while True:
            self._wanted.clear()
            await self._wanted.wait()
            playing = asyncio.ensure_future(self._sink.run(self._opened))
            silence = asyncio.ensure_future(self._silence())
            try:
                await asyncio.wait({playing, silence}, return_when=asyncio.FIRST_COMPLETED)
                if playing.done():
                    playing.result()
            finally:
                playing.cancel()
                silence.cancel()
                await asyncio.wait({playing, silence})
                if not playing.cancelled():
                    playing.exception()
                self._waiting = []
            self.talker = None
            self.component.resting("silent", "off: nobody talks")

    def _opened(self, device: str) -> None:
        self.device = device
        self.component.running(f"somebody talks on {device}")
        waiting, self._waiting = self._waiting, []
        for speech in waiting:
            self._sink.play(speech)

    async def _silence(self) -> None:
        """Until nobody has talked for LINGER."""
        left = LINGER
        while left > 0:
            self._wanted.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._wanted.wait()
            left = self._heard + LINGER - time.monotonic()
