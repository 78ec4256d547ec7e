"""The device announced on its network as `_edgecam._tcp` by multicast DNS, with python3-zeroconf.

The responder is opened on the addresses that [ice] allows and opened anew when they change: python-zeroconf 0.147, Debian 13's,
cannot change them while it runs.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import structlog

from edgecam.errors import RetryableError
from edgecam.fleet import optional, records
from edgecam.fleet.identity import Device
from edgecam.health import Component, HealthBoard
from edgecam.rtc.ice.addresses import AddressWatch, LocalAddress
from edgecam.settings import IceSettings, Listen
from edgecam.settings.fleet import MdnsSettings
from edgecam.supervisor import Backoff, background

if TYPE_CHECKING:
    from zeroconf import IPVersion
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

log = structlog.get_logger(__name__)

BACKOFF = Backoff(first=1.0, cap=60.0, reset_after=60.0)
SETTLE = 1.0  # seconds: RFC 6762 section 6 allows a record once a second
OPEN_WITHIN = 10.0  # seconds; probing takes less than one, a conflict two
CLOSE_WITHIN = 1.0  # seconds; the goodbye is said within 0.4


class MdnsError(RetryableError):
    """Multicast DNS cannot be spoken now; codes: mdns-failed."""

    code = "mdns-failed"


def wanted(settings: MdnsSettings, web: Listen) -> bool:
    """Whether this device announces itself. Raises ConfigError when it is to and python3-zeroconf is missing."""
    if settings.enabled:
        optional.require("zeroconf", wanted_by="[mdns] enabled", package="python3-zeroconf", extra="mdns")
        return True
    if settings.enabled is False or web.is_loopback:
        return False
    if not optional.available("zeroconf"):
        log.info("mdns.off", reason="python3-zeroconf is not installed")
        return False
    return True


class Announcement:
    """Announces the device while `run` runs, and says goodbye when it is left. `cameras` gives the names as they are now."""

    def __init__(
        self,
        device: Device,
        settings: MdnsSettings,
        ice: IceSettings,
        cameras: Callable[[], Iterable[str]],
        board: HealthBoard,
    ) -> None:
        self._device = device
        self._settings = settings
        self._addresses = AddressWatch(ice)
        self._cameras = cameras
        self._board = board
        self.component: Component = board.aside("mdns")
        self._moved = False  # the addresses are others than those that are announced, or the name is
        self._name = records.instance_name(device.name)
        self._rivals: set[str] = set()  # hosts that were heard to go by our name
        self._changed = asyncio.Event()

    async def run(self, web: Listen) -> None:
        """Announce the listener at `web` for ever. Raises MdnsError."""
        self._board.watch(self._changed.set)
        try:
            async with background(("mdns.addresses", self._watch_addresses)):
                while True:
                    self._moved = False
                    usable = [a for a in self._addresses.current if _answers_at(web, a.address)]
                    if usable:
                        await self._announce(web, usable)
                    else:
                        self.component.resting("mdns-no-network", "no network to announce on")
                        await self._until_moved()
        finally:
            self._board.unwatch(self._changed.set)

    async def _watch_addresses(self) -> None:
        async for _gone, _come in self._addresses.changes():
            self._moved = True
            self._changed.set()

    async def _until_moved(self) -> None:
        while not self._moved:
            self._changed.clear()
            await self._changed.wait()

    async def _announce(self, web: Listen, usable: Sequence[LocalAddress]) -> None:
        """Be known on those addresses until they change, with a TXT record that follows the device's state."""
        from zeroconf import Error
        from zeroconf.asyncio import AsyncZeroconf

        try:
            responder = AsyncZeroconf(interfaces=[a.address for a in usable], ip_version=ip_version(usable))
            try:
                text = self._text()
                name = await self._register(responder, self._info(self._name, text, web, usable))
                while not self._moved:
                    self._changed.clear()
                    if self._rivals and self._yields(name):
                        break
                    if self._rivals or text != self._text():
                        # Said anew as well after a rival: what listeners remember of us went with its goodbye.
                        self._rivals.clear()
                        text = self._text()
                        await responder.async_update_service(self._info(name, text, web, usable))
                    await self._changed.wait()
                    await asyncio.sleep(SETTLE)
            finally:
                await closed(responder)
        except (OSError, TimeoutError, Error) as error:
            raise MdnsError(f"multicast DNS failed: {type(error).__name__} {error}".rstrip()) from error

    def _yields(self, name: str) -> bool:
        """Of devices that go by one name all but the first, by host name, take another."""
        if min(self._rivals) > self._host:
            return False
        log.info("mdns.renamed", name=name, rivals=sorted(self._rivals))
        self._rivals.clear()
        self._name = records.next_name(name)
        return True

    def _rival(self, host: str) -> None:
        self._rivals.add(host)
        self._changed.set()

    async def _register(self, responder: AsyncZeroconf, info: AsyncServiceInfo) -> str:
        """Announce; returns under which name: one that is taken gets a number."""
        from edgecam.fleet.rivals import Rivals

        async with asyncio.timeout(OPEN_WITHIN):
            await responder.async_register_service(info, allow_name_change=True)
        name = info.name.removesuffix(f".{records.SERVICE_TYPE}")
        responder.zeroconf.async_add_listener(Rivals(info.name, self._host, self._rival), None)
        log.info("mdns.announced", name=name, port=info.port, addresses=info.parsed_addresses())
        self.component.running(f"announced as {name}")
        return name

    def _info(self, name: str, text: Mapping[str, str], web: Listen, usable: Sequence[LocalAddress]) -> AsyncServiceInfo:
        from zeroconf.asyncio import AsyncServiceInfo

        return AsyncServiceInfo(
            records.SERVICE_TYPE,
            f"{name}.{records.SERVICE_TYPE}",
            port=self._settings.port or web.port,
            addresses=[ipaddress.ip_address(a.address).packed for a in usable],
            properties=dict(text),
            server=self._host,
        )

    @property
    def _host(self) -> str:
        return f"{self._device.host}.local."

    def _text(self) -> dict[str, str]:
        ready = not self._board.reasons
        return records.text_record(self._device, tuple(self._cameras()), ready=ready, tls=self._settings.tls)


def _answers_at(web: Listen, address: str) -> bool:
    """Whether a listener at `web` can be reached at that address of this machine. A loopback one is behind a proxy, which can."""
    where = ipaddress.ip_address(address)
    if where.is_loopback:
        return False
    if web.is_loopback or web.host == "::":
        return True
    return where.version == 4 if web.host == "0.0.0.0" else web.host == address


def ip_version(addresses: Iterable[LocalAddress]) -> IPVersion:
    """What the responder has to speak; a kernel without IPv6 is not asked for it."""
    from zeroconf import IPVersion

    versions = {address.version for address in addresses}
    return IPVersion.All if len(versions) > 1 else IPVersion.V6Only if versions == {6} else IPVersion.V4Only


async def closed(responder: AsyncZeroconf) -> None:
    """Say goodbye and close; nothing that goes wrong with that matters, and it may not take long."""
    from zeroconf import Error

    try:
        async with asyncio.timeout(CLOSE_WITHIN):
            await responder.async_close()
    except (OSError, TimeoutError, Error) as error:
        log.debug("mdns.close", reason=repr(error))
