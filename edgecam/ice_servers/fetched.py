"""One list of servers that is fetched from a service and fetched again before it expires."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import structlog

from edgecam.errors import IceCredentialsError
from edgecam.health import Component
from edgecam.ice_servers.fetching import Fetched, fetch
from edgecam.ice_servers.minted import RENEWED_AFTER
from edgecam.settings import IceServer
from edgecam.supervisor import Backoff

log = structlog.get_logger(__name__)

BACKOFF = Backoff(first=1.0, cap=300.0, reset_after=60.0)
LOOK = 30.0  # seconds; a sleep does not count the time for which the machine was suspended


def _clock() -> float:
    """Seconds that go on while the machine is suspended, and do not jump when the clock is set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class FetchedServers:
    """`run()` keeps the list fresh; it is for `supervise`, and raises IceCredentialsError only while there is no list that
    is still good. What has expired stays in use until there is better: a server may be lenient, and being refused costs nothing."""

    def __init__(self, asked: IceServer, component: Component) -> None:
        self.component = component
        self._asked = asked
        self._servers: tuple[IceServer, ...] = ()
        self._expires = 0.0
        self._delays = BACKOFF.delays()

    def current(self) -> Sequence[IceServer]:
        return self._servers

    async def run(self) -> None:
        """Fetch, wait until half of the list's time is over, and again, for ever."""
        while True:
            try:
                fetched = await fetch(self._asked)
            except IceCredentialsError as error:
                if _clock() >= self._expires:
                    raise
                await self._wait_out(error)
            else:
                self._take(fetched)
                await _until(_clock() + fetched.answer.ttl * RENEWED_AFTER)

    def _take(self, fetched: Fetched) -> None:
        answer = fetched.answer
        self._servers, self._expires = answer.servers, _clock() + answer.ttl
        self._delays = BACKOFF.delays()
        self.component.running(f"{len(answer.servers)} servers, good for {round(answer.ttl)} s")
        log.debug(
            "ice-credentials.fetched", component=self.component.name, servers=len(answer.servers), ttl=round(answer.ttl)
        )

    async def _wait_out(self, error: IceCredentialsError) -> None:
        """Renewing failed while there is time: no reason to be unwell yet."""
        left = self._expires - _clock()
        detail = f"still good for {round(left)} s, but not renewed: {error}"
        log.warning(
            "ice-credentials.not-renewed",
            component=self.component.name,
            code=error.code,
            reason=str(error),
            left_s=round(left),
        )
        self.component.running(detail)
        await _until(_clock() + min(next(self._delays), left))


async def _until(deadline: float) -> None:
    while (left := deadline - _clock()) > 0:  # noqa: ASYNC110 - the clock's own event is what asyncio cannot wait for
        await asyncio.sleep(min(left, LOOK))
