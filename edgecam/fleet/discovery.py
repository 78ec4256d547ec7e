"""Which devices announce themselves on the network: a browser for `_edgecam._tcp`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgecam.errors import FatalError
from edgecam.fleet import optional, records
from edgecam.fleet.announcement import closed, ip_version
from edgecam.fleet.records import Found
from edgecam.rtc.ice.addresses import usable_addresses
from edgecam.settings import IceSettings

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncZeroconf

DETAILS_WITHIN = 3.0  # seconds that a device has to say address and TXT record


async def discover(ice: IceSettings, seconds: float) -> Sequence[Found]:
    """The devices that answer within so many seconds on the interfaces that [ice] allows, by name.

    Raises ConfigError when python3-zeroconf is missing, FatalError when there is no network.
    """
    optional.require("zeroconf", wanted_by="edgecam discover", package="python3-zeroconf", extra="mdns")
    from zeroconf import ServiceStateChange, Zeroconf
    from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

    addresses = usable_addresses(ice)
    if not addresses:
        raise FatalError("this machine has no network address", remedy="connect it, or name its interface in [ice] interfaces")
    names: set[str] = set()

    def heard(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        (names.discard if state_change is ServiceStateChange.Removed else names.add)(name)

    try:
        browser_zeroconf = AsyncZeroconf(interfaces=[a.address for a in addresses], ip_version=ip_version(addresses))
    except OSError as error:
        raise FatalError(f"multicast DNS cannot be spoken here: {error}", remedy="check the firewall and port 5353/udp") from error
    try:
        browser = AsyncServiceBrowser(browser_zeroconf.zeroconf, records.SERVICE_TYPE, handlers=[heard])
        await asyncio.sleep(seconds)
        told = await asyncio.gather(*(_details(browser_zeroconf, name) for name in names))
        await browser.async_cancel()
    finally:
        await closed(browser_zeroconf)
    return sorted((each for each in told if each is not None), key=lambda each: (each.name.casefold(), each.id))


async def _details(responder: AsyncZeroconf, name: str) -> Found | None:
    """What the device says of itself; None when it is gone by then."""
    from zeroconf import IPVersion
    from zeroconf.asyncio import AsyncServiceInfo

    info = AsyncServiceInfo(records.SERVICE_TYPE, name)
    if not await info.async_request(responder.zeroconf, DETAILS_WITHIN * 1000):
        return None
    addresses = info.parsed_scoped_addresses(IPVersion.All)
    said = records.found(info.server or "", info.port or 0, addresses, info.properties)
    label = name.removesuffix(f".{records.SERVICE_TYPE}")
    return said if said.name else replace(said, name=label)
