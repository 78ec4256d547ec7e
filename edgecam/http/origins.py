"""Which Host a request may name and which Origin it may come from: the pure part of the guard."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Authority:
    """Host and port of a Host header (RFC 9110 section 7.2); port None when the header names none."""

    host: str
    port: int | None

    @property
    def is_address(self) -> bool:
        """Whether the host is an IP literal, which DNS rebinding cannot produce."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True


def parse_authority(text: str) -> Authority | None:
    """`host`, `host:port` or `[v6]:port`, lower-cased and without the root dot; None when garbled."""
    if not text or len(text) > 300 or any(c in text for c in "/@\\ ?#,%\t\r\n"):
        return None
    try:
        parts = urlsplit("//" + text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or parts.netloc != text or text.endswith(":"):
        return None
    return Authority(host.lower().removesuffix("."), port)


def own_names() -> frozenset[str]:
    """The names of this machine that a browser on the LAN may use."""
    hostname = socket.gethostname().lower().removesuffix(".")
    short = hostname.split(".")[0]
    return frozenset({"localhost", hostname, short, f"{short}.local"} - {"", ".local"})


class AllowedHosts:
    """The names and addresses that a listener answers to. `configured` entries are `name` or `name:port`; `announced` are
    further names of this machine, lower case."""

    def __init__(self, configured: Iterable[str] = (), announced: Iterable[str] = ()) -> None:
        self._own = own_names() | set(announced)
        self._configured = {(a.host, a.port) for text in configured if (a := parse_authority(text.strip()))}

    def __contains__(self, authority: Authority) -> bool:
        # The port is not compared for addresses and own names: port forwards and containers change it, and a
        # rebinding attacker does not control it either way.
        return authority.is_address or authority.host in self._own or self.was_configured(authority)

    def was_configured(self, authority: Authority) -> bool:
        """Whether a person listed it, as for a reverse proxy."""
        return bool({(authority.host, None), (authority.host, authority.port)} & self._configured)


def normal_origin(origin: str) -> str:
    """An http(s) origin (RFC 6454) in one spelling: lower case, no default port, no slash; else empty."""
    try:
        parts = urlsplit(origin.strip().rstrip("/"))
        host, port = parts.hostname, parts.port
    except ValueError:
        return ""
    if parts.scheme not in _DEFAULT_PORTS or not host or "@" in parts.netloc:
        return ""
    if parts.path or parts.query or parts.fragment:
        return ""
    host = f"[{host}]" if ":" in host else host
    suffix = "" if port is None or port == _DEFAULT_PORTS[parts.scheme] else f":{port}"
    return f"{parts.scheme}://{host}{suffix}"


def same_origin(origin: str, host_header: str, *, schemes: Iterable[str]) -> bool:
    """Whether `origin` is this listener seen through its Host header, under one of `schemes`."""
    normal = normal_origin(origin)
    return bool(normal) and any(normal == normal_origin(f"{scheme}://{host_header}") for scheme in schemes)
