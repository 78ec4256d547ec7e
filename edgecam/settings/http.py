"""[web], and what it shares with [server]: where to listen, and whom to answer."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from types import MappingProxyType

from pydantic import Field, SecretStr, field_validator

from edgecam.settings.section import Applied, Section


@dataclass(frozen=True, slots=True)
class Listen:
    """A TCP address to listen on."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        return self.host in {"127.0.0.1", "::1", "localhost"} or self.host.startswith("127.")

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(text: str) -> Listen:
    """`host:port`, `[v6]:port` or `:port` (all addresses). Raises ValueError with what would be right."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]]*)):(\d{1,5})", text)
    if not match or int(match[3]) > 65535:
        raise ValueError(f"{text!r} is not an address to listen on; write host:port, for example 127.0.0.1:8088")
    return Listen(match[1] or match[2] or "0.0.0.0", int(match[3]))


class ListenerSettings(Section):
    """What [web] and [server] share."""

    applied = Applied.AT_ONCE
    applied_otherwise = MappingProxyType({"listen": Applied.RESTART})

    listen: str
    token: SecretStr = Field(
        SecretStr(""),
        description="secret that visitors must present; a listener that is not loopback gets one generated when empty",
    )
    cors_origins: tuple[str, ...] = Field(
        (), description="origins of other web sites that may use this API, e.g. https://home.example"
    )
    allowed_hosts: tuple[str, ...] = Field(
        (), description="further host names that this listener answers to, e.g. a reverse proxy's"
    )
    trusted_proxies: tuple[str, ...] = Field(
        (),
        description="addresses or networks of reverse proxies that are believed whom they forward; "
        "one on this machine always is, for the allowed_hosts",
    )

    @field_validator("listen")
    @classmethod
    def _listen_is_an_address(cls, value: str) -> str:
        parse_listen(value)
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies_are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            try:
                ipaddress.ip_network(text)
            except ValueError:
                raise ValueError(f"{text!r} is no address or network; write for example 10.0.0.5 or 10.0.0.0/24") from None
        return value

    @property
    def address(self) -> Listen:
        return parse_listen(self.listen)

    @property
    def is_private(self) -> bool:
        """Whether only this machine can reach it: neither an address of the network nor a reverse proxy leads here."""
        return self.address.is_loopback and not self.allowed_hosts and not self.trusted_proxies


class WebSettings(ListenerSettings):
    """[web]: the daemon's own HTTP: status, health, metrics, snapshots, viewer page, WHEP."""

    listen: str = Field("127.0.0.1:8088", description="host:port of the daemon's HTTP; :8088 for every address")
