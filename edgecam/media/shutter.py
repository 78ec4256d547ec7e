"""When a camera is open: never while it is private, and with capture = "on-demand" only while somebody needs it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from edgecam.errors import CaptureError
from edgecam.health import Component
from edgecam.media.presence import Presence
from edgecam.media.types import UnitSink, VideoSource
from edgecam.privacy import PrivacySwitch

Device = Literal["open", "closed", "held"]
HELD_LOOK = 1.0  # seconds between two looks whether a driver has let go of a process
ABSENT = "camera-absent"  # looked for while the camera rests; what else went wrong is known only once it is opened again


class Shutter:
    """Opens and closes `source`, and says on the board why it is closed. `closed` is called after each time.

    On demand a process is kept ready that has everything loaded and no device open: a viewer waits for the camera only. One
    that did not open when it was last needed is not said to rest: the board keeps saying what was wrong with it.
    """

    def __init__(
        self,
        source: VideoSource,
        component: Component,
        privacy: PrivacySwitch,
        closed: Callable[[], None],
        *,
        always: bool,
        linger: float,
    ) -> None:
        self.privacy = privacy
        self.presence = Presence(always=always, linger=linger, changed=self._stir)
        self._source = source
        self._component = component
        self._closed = closed
        self._stirred = asyncio.Event()
        self._begun = False  # the camera was to be opened in this attempt
        self._attending = False  # there is, or is about to be, a process
        self._given_up: CaptureError | None = None
        self._broken = False  # it was broken when it was last open
        privacy.listen(self._privacy_changed)

    async def run(self, sink: UnitSink) -> None:
        """One attempt after the other, until the source breaks: raises what broke."""
        while True:
            if self.privacy.private:
                await self._while_private()
            await self._attend(sink)

    @property
    def device(self) -> Device:
        """`held`: its process was to end, and a driver does not let go of it."""
        if self._attending:
            return "open" if self._begun else "closed"
        return "closed" if self._source.held_by is None else "held"

    def reopen(self, reason: CaptureError) -> None:
        """End the attempt with that error, as if the source had raised it; harmless when there is none."""
        self._given_up = reason
        self._stir()

    @property
    def reopens(self) -> bool:
        """Whether the last attempt ended because of `reopen`."""
        return self._given_up is not None

    def opened(self) -> None:
        """The source is open."""
        self._broken = False

    def _privacy_changed(self) -> None:
        if self.privacy.private and not self._attending:  # also while the supervisor backs off
            self._report_private()
        self._stir()

    def _stir(self) -> None:
        self._stirred.set()

    async def _until(self, so: Callable[[], bool]) -> None:
        while not so():
            self._stirred.clear()
            lingers = self.presence.lingers
            with suppress(TimeoutError):
                async with asyncio.timeout(lingers if lingers > 0 else None):
                    await self._stirred.wait()

    async def _while_private(self) -> None:
        self._broken = False  # whether it would open is known when it is tried
        while self.privacy.private:
            self._report_private()
            self._stirred.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(HELD_LOOK if self.device == "held" else None):
                    await self._stirred.wait()
        self._component.resting("opening", "no longer private: it is being opened")

    def _report_private(self) -> None:
        held = self._source.held_by
        if held is None:
            self._component.resting("private", self.privacy.detail)
        else:
            said = f"the camera's driver does not let go of process {held}, which may have the device open still: unplug the camera"
            self._component.degraded("private-held", f"{self.privacy.detail}; {said}")

    async def _attend(self, sink: UnitSink) -> None:
        """Until it has to be closed."""
        self._begun, self._attending, self._given_up = self.presence.always, True, None
        begin = None if self.presence.always else self._until_needed
        source = asyncio.ensure_future(self._source.run(sink, begin))
        closing = asyncio.ensure_future(self._until(self._to_be_closed))
        try:
            await asyncio.wait({source, closing}, return_when=asyncio.FIRST_COMPLETED)
            if source.done():
                source.result()
            if self._given_up is not None:
                raise self._given_up
        except CaptureError as error:
            self._broken = self._begun and error.code != ABSENT
            raise
        finally:
            source.cancel()
            closing.cancel()
            await asyncio.wait({source, closing})
            if not source.cancelled():
                source.exception()  # what broke while it was being closed does not matter any more
            self._attending = False
            self._closed()

    def _to_be_closed(self) -> bool:
        return self.privacy.private or self._given_up is not None or (self._begun and not self.presence.needed)

    async def _until_needed(self) -> None:
        """What a process that stands by waits for."""
        if not self.presence.needed and not self._broken:
            self._component.resting("on-demand", "closed: nobody watches")
        await self._until(lambda: self.presence.needed)
        self._begun = True
        self._stir()
