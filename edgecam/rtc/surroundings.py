"""What the ICE agents of all viewers share, made from `[ice]` and kept fresh: addresses, sockets and a relay that are ready."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence

import structlog

from edgecam.rtc.ice.addresses import AddressWatch
from edgecam.rtc.ice.gathering import IceContext
from edgecam.rtc.ice.ready import ReadySockets
from edgecam.rtc.ice.servers import Server, ServerHealth
from edgecam.rtc.ice.standby import StandbyRelay
from edgecam.settings import IceSettings

log = structlog.get_logger(__name__)


class Surroundings:
    """Fresh while `run` runs. For other settings another one takes its place; sessions keep the one they began with.

    `gone` hears of addresses that the machine has lost.
    """

    def __init__(
        self,
        ice: IceSettings,
        servers: Callable[[], Sequence[Server]],
        health: ServerHealth,
        gone: Callable[[Collection[str]], None],
    ) -> None:
        self._ice = ice
        self._health = health
        self._gone = gone
        self._addresses = AddressWatch(ice)
        self.standby = StandbyRelay(servers, health, wanted=ice.standby_relay, relay_only=ice.policy == "relay")
        self.sockets = ReadySockets(ice, self._addresses, servers, health)
        self.context = IceContext(ice, self._addresses, health, self.standby, self.sockets)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_addresses(), name="network addresses")
            if self._ice.policy != "relay":
                group.create_task(self.sockets.run(), name="ready sockets")
            if self.standby.wanted:
                group.create_task(self.standby.run(), name="relay standby")

    def look(self) -> None:
        """There may be other servers now."""
        self.standby.look()
        self.sockets.look()

    def renew(self) -> None:
        """What is ready was made with servers, or on addresses, that are gone."""
        self.standby.renew()
        self.sockets.renew()

    async def _watch_addresses(self) -> None:
        """What goes over an address that is gone is dead: the sessions are rebuilt at once, not when consent runs out."""
        async for gone, come in self._addresses.changes():
            log.info("network.changed", gone=[a.address for a in gone], come=[a.address for a in come])
            self._gone({address.address for address in gone})
            self._health.forgive()
            self.renew()
