"""The machine's own addresses: which of them may be candidates, and when they change."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch

import ifaddr

from edgecam.settings import IceSettings

LOOK = 1.0  # seconds between two looks where the kernel cannot be asked to tell
LOOK_ANYWAY = 10.0  # seconds, where it can
SETTLE = 0.05  # seconds; one change of a network is several messages
MAX_ADDRESSES = 16  # each is a socket per viewer
RTMGRP = 0x1 | 0x10 | 0x100  # RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR (rtnetlink(7))


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """An IP address, the interface it is on, and its scope id (link-local IPv6 only)."""

    address: str
    interface: str
    scope: int = 0

    @property
    def version(self) -> int:
        return 6 if ":" in self.address else 4


def usable_addresses(ice: IceSettings) -> tuple[LocalAddress, ...]:
    """The addresses that `[ice]` allows, IPv4 first; loopback only when there is nothing else. May be empty."""
    found = [a for a in _all_addresses() if _allowed(a.interface, ice) and _wanted(a.address, ice)]
    outside = [a for a in found if not ipaddress.ip_address(a.address).is_loopback]
    return tuple(sorted(outside or found, key=lambda a: a.version)[:MAX_ADDRESSES])


def _all_addresses() -> Iterator[LocalAddress]:
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            if isinstance(ip.ip, str):
                yield LocalAddress(ip.ip, adapter.name)
            else:
                address, _flow, scope = ip.ip
                yield LocalAddress(address, adapter.name, scope if _is_link_local(address) else 0)


def _is_link_local(address: str) -> bool:
    return ipaddress.ip_address(address).is_link_local


def _allowed(interface: str, ice: IceSettings) -> bool:
    if ice.interfaces:
        return any(fnmatch(interface, pattern) for pattern in ice.interfaces)
    return not any(fnmatch(interface, pattern) for pattern in ice.exclude_interfaces)


def _wanted(address: str, ice: IceSettings) -> bool:
    if ":" in address and not ice.ipv6:
        return False
    return ice.link_local or not _is_link_local(address)


class AddressWatch:
    """Knows the usable addresses at any moment without asking the kernel each time."""

    def __init__(self, ice: IceSettings) -> None:
        self._ice = ice
        self._current: tuple[LocalAddress, ...] | None = None

    @property
    def current(self) -> tuple[LocalAddress, ...]:
        if self._current is None:
            self._current = usable_addresses(self._ice)
        return self._current

    async def changes(self) -> AsyncIterator[tuple[Sequence[LocalAddress], Sequence[LocalAddress]]]:
        """(gone, come) at each change, for ever. One consumer."""
        with _Announcements() as announced:
            while True:
                before = self.current
                self._current = usable_addresses(self._ice)
                gone = [a for a in before if a not in self._current]
                come = [a for a in self._current if a not in before]
                if gone or come:
                    yield gone, come
                await announced.wait()
                await asyncio.sleep(SETTLE)


class _Announcements:
    """The kernel's messages about links and addresses (rtnetlink); where they cannot be had, time."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._event = asyncio.Event()

    def __enter__(self) -> _Announcements:
        with suppress(OSError):
            opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
            try:
                opened.bind((0, RTMGRP))
            except OSError:
                opened.close()
                raise
            asyncio.get_running_loop().add_reader(opened, self._read)
            self._socket = opened
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()

    def _read(self) -> None:
        assert self._socket is not None
        with suppress(OSError):  # ENOBUFS: there were so many that some are lost; all they say is "look"
            while self._socket.recv(65536):
                pass
        self._event.set()

    async def wait(self) -> None:
        """Until there may be news."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK if self._socket is None else LOOK_ANYWAY):
                await self._event.wait()
        self._event.clear()
