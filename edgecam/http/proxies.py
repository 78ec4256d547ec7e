"""Reverse proxies: whom a request really comes from, and whether it came over TLS."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from aiohttp import web

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_FORWARDED_PAIR = re.compile(r'\s*(for|proto)\s*=\s*("[^"]*"|[^;,\s]*)\s*', re.IGNORECASE)
MAX_HOPS = 16  # of a header that anybody may write


class Proxies:
    """`networks` are those whose word is taken; `configured` below: a proxy on this machine is believed, because the
    request names a host that a person configured."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = [ipaddress.ip_network(text) for text in networks]

    def forwards(self, request: web.BaseRequest, *, configured: bool) -> bool:
        """Whether the request came through a proxy that is believed."""
        address = _parsed(request.remote or "")
        return address is not None and (self._trusted(address) or (configured and address.is_loopback))

    def client_of(self, request: web.BaseRequest, *, configured: bool) -> str:
        """The address that a request comes from: the last hop that no trusted proxy made up of others' words."""
        remote = request.remote or ""
        if not self.forwards(request, configured=configured):
            return remote
        for hop in reversed(_hops(request)):
            address = _parsed(hop)
            if address is None:
                break  # what stands further left was written by whoever wrote this
            remote = str(address)
            if not self._trusted(address):
                break
        return remote

    def over_tls(self, request: web.BaseRequest, *, configured: bool) -> bool:
        """Whether the visitor's own connection is encrypted."""
        if request.secure:
            return True
        if not self.forwards(request, configured=configured):
            return False
        said = request.headers.get("X-Forwarded-Proto") or next(iter(_forwarded(request, "proto")), "")
        return said.split(",")[0].strip().lower() in {"https", "wss"}

    def trusts(self, remote: str) -> bool:
        """Whether this is the address of a proxy, and so stands for many clients."""
        address = _parsed(remote)
        return address is not None and self._trusted(address)

    def _trusted(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self._networks)


def network_of(remote: str) -> str:
    """What counts as one visitor: an IPv4 address, or the /64 of an IPv6 one."""
    address = _parsed(remote)
    if address is None:
        return remote
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def is_this_machine(remote: str) -> bool:
    """Whether that is a loopback address, or no address at all (a Unix socket)."""
    address = _parsed(remote)
    return address is None or address.is_loopback


def _hops(request: web.BaseRequest) -> list[str]:
    """Addresses as the proxies wrote them, the visitor's first: X-Forwarded-For, else Forwarded (RFC 7239)."""
    listed = request.headers.getall("X-Forwarded-For", [])
    hops = ",".join(listed).split(",") if listed else _forwarded(request, "for")
    return [hop.strip() for hop in hops][-MAX_HOPS:]


def _forwarded(request: web.BaseRequest, name: str) -> list[str]:
    text = ",".join(request.headers.getall("Forwarded", []))
    return [value.strip('"') for key, value in _FORWARDED_PAIR.findall(text[-4096:]) if key.lower() == name]


def _parsed(text: str) -> Address | None:
    """An address with or without brackets, port or zone; IPv4 in IPv6 as IPv4."""
    text = text.strip().partition("%")[0]
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
