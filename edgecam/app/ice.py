"""The configured STUN and TURN servers, which a new configuration may replace while everybody goes on asking for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from edgecam.health import HealthBoard
from edgecam.ice_servers.provider import ConfiguredIceServers
from edgecam.jobs import Jobs
from edgecam.settings import IceServer


class CurrentIceServers:
    """Implements `peers.IceServers` for whatever `[[ice.servers]]` says now. Credentials are fetched and renewed while
    `renewing` is entered."""

    def __init__(self, servers: Sequence[IceServer], board: HealthBoard) -> None:
        self._board = board
        self._jobs = Jobs()
        self._names: list[str] = []
        self._begin(servers)

    def current(self) -> Sequence[IceServer]:
        return self._configured.current()

    @asynccontextmanager
    async def renewing(self) -> AsyncIterator[None]:
        async with self._jobs.running():
            yield

    async def replace(self, servers: Sequence[IceServer]) -> None:
        """Other servers from now on; lists that are fetched are fetched anew."""
        await self._jobs.stop(*self._names)
        for name in self._names:
            self._board.remove(name)
        self._begin(servers)

    def _begin(self, servers: Sequence[IceServer]) -> None:
        self._configured = ConfiguredIceServers(servers, self._board)
        self._names = [name for name, _run in self._configured.jobs]
        for name, run in self._configured.jobs:
            self._jobs.start(name, run)
