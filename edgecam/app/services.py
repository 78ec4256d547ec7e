"""Parts that run in the background and that nothing else depends on: each is one line where the daemon is composed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from edgecam.jobs import Jobs, Run
from edgecam.settings import Settings


@dataclass(frozen=True, slots=True)
class Service:
    """A background part. `needs` picks what of the settings it is made from; `build` makes it, None when they turn it off.

    When what it needs has changed, it is cancelled, waited for, and built anew, or taken up again: that is up to `build`.
    """

    name: str
    needs: Callable[[Settings], object]
    build: Callable[[Settings], Run | None]


class Services:
    """The background parts of the daemon."""

    def __init__(self, services: Sequence[Service], settings: Settings) -> None:
        self._services = tuple(services)
        self._jobs = Jobs()
        for service in self._services:
            self._start(service, settings)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self._jobs.running():
            yield

    async def apply(self, old: Settings, new: Settings) -> None:
        """Build those anew of which something has changed."""
        for service in self._services:
            if service.needs(old) != service.needs(new):
                await self._jobs.stop(service.name)
                self._start(service, new)

    def _start(self, service: Service, settings: Settings) -> None:
        run = service.build(settings)
        if run is not None:
            self._jobs.start(service.name, run)
