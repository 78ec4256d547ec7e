"""A relayed address that is kept ready for the next viewer: allocating one takes round trips and a server's patience."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from edgecam.rtc.ice.relayed import RelayEndpoint, allocate
from edgecam.rtc.ice.servers import Server, ServerHealth

log = structlog.get_logger(__name__)

LOOK = 5.0  # seconds between two looks whether it is still there, and whether its credentials are still handed out


class StandbyRelay:
    """Holds one allocation while `run` runs; `take` gives it away, and another is made."""

    def __init__(self, servers: Callable[[], Sequence[Server]], health: ServerHealth, *, wanted: bool, relay_only: bool) -> None:
        self.wanted = wanted
        self._servers = servers
        self._health = health
        self._relay_only = relay_only
        self._ready: RelayEndpoint | None = None
        self._changed = asyncio.Event()
        self.made = 0

    def take(self, servers: Sequence[Server]) -> RelayEndpoint | None:
        """The address that stands by, if it is at one of `servers`; the caller's from now on."""
        ready = self._ready
        if ready is None or not ready.alive or ready.transport.server.url not in {server.url for server in servers}:
            return None
        self._ready = None
        self._changed.set()
        return ready

    def renew(self) -> None:
        """This machine's addresses have changed: what stands by may hang on one that is gone."""
        if self._ready is not None:
            self._ready.transport.close()
        self._changed.set()

    def look(self) -> None:
        """There may be other servers now."""
        self._changed.set()

    async def run(self) -> None:
        """Keep one ready, for ever."""
        try:
            while True:
                if self._ready is not None and not self._good(self._ready):
                    stale, self._ready = self._ready, None
                    await stale.close()
                if self._ready is None:
                    self._ready = await self._make()
                await self._news()
        finally:
            if self._ready is not None:
                ready, self._ready = self._ready, None
                await ready.close()

    def _good(self, ready: RelayEndpoint) -> bool:
        server = ready.transport.server
        return ready.alive and any((s.url, s.username) == (server.url, server.username) for s in self._servers())

    async def _make(self) -> RelayEndpoint | None:
        """The first server that gives one, the quickest known first."""
        turns = [server for server in self._health.choose(self._servers()) if server.kind == "turn"]
        turns.sort(key=lambda server: self._health.of(server.url).latency or 0.0)
        for server in turns:
            endpoint = await allocate(server, self._health, relay_only=self._relay_only)
            if endpoint is not None:
                self.made += 1
                log.debug("relay.standing-by", url=server.url)
                return endpoint
        return None

    async def _news(self) -> None:
        """Until it was taken, or a while has passed."""
        try:
            async with asyncio.timeout(LOOK):
                await self._changed.wait()
        except TimeoutError:
            pass
        self._changed.clear()

    def as_dict(self) -> dict[str, Any]:
        """For the status document."""
        ready = self._ready
        return {
            "wanted": self.wanted,
            "ready": ready is not None and ready.alive,
            "url": ready.transport.server.url if ready is not None else None,
            "made": self.made,
        }
