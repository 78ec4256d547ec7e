"""[ice] and its servers: how the camera finds a way to its viewers."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator

from edgecam.settings.section import Applied, Seconds, Section

_ICE_PORT = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_ICE_HOST = rf"([^?:\s\[\]]{{1,255}}|\[[0-9a-fA-F:.]{{2,45}}\])(:{_ICE_PORT})?"
# RFC 7064 and RFC 7065.
ICE_URL = rf"^(stuns?:{_ICE_HOST}|turns?:{_ICE_HOST}(\?transport=(udp|tcp))?)$"
IceUrl = Annotated[str, StringConstraints(pattern=ICE_URL)]


def parse_ports(text: str) -> range | None:
    """`first-last` as a range, None when empty. Raises ValueError with what would be right."""
    if not text:
        return None
    match = re.fullmatch(r"(\d{1,5})-(\d{1,5})", text.replace(" ", ""))
    if not match or not 1024 <= int(match[1]) <= int(match[2]) <= 65535:
        raise ValueError(f"{text!r} is no range of ports; write for example 40000-40199, within 1024-65535")
    return range(int(match[1]), int(match[2]) + 1)


class IceServer(Section):
    """[[ice.servers]]: one STUN or TURN server."""

    applied = Applied.NEWCOMERS

    urls: tuple[IceUrl, ...] = Field(
        (), description="e.g. stun:stun.example:3478 or turn:turn.example:3478?transport=udp; required but with credentials_url"
    )
    username: str = Field("", description="TURN user name; with secret, the name inside the minted one")
    credential: SecretStr = Field(SecretStr(""), description="TURN password")
    secret: SecretStr = Field(
        SecretStr(""), description="secret shared with the TURN server (coturn: static-auth-secret): credentials are minted with it"
    )
    ttl: Seconds = Field(
        86_400, ge=10, le=31_536_000, description="seconds for which minted credentials are good, and fetched ones that do not say"
    )
    credentials_url: str = Field(
        "", pattern=r"^(https?://\S+)?$", description="where credentials, or the whole list of servers, are fetched as JSON and renewed"
    )
    credentials_token: SecretStr = Field(SecretStr(""), description="bearer token for credentials_url")

    @field_validator("urls", mode="before")
    @classmethod
    def _one_url_is_a_list(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _turn_needs_credentials(self) -> IceServer:
        static, secret = self.credential.get_secret_value(), self.secret.get_secret_value()
        if sum(map(bool, (static, secret, self.credentials_url))) > 1:
            raise ValueError("credential, secret and credentials_url exclude each other; keep one")
        if not self.urls and not self.credentials_url:
            raise ValueError("a server needs urls, or a credentials_url that lists them")
        static = static if self.username else ""
        if any(url.startswith("turn") for url in self.urls) and not (static or secret or self.credentials_url):
            raise ValueError("a turn: server needs username and credential, or secret, or credentials_url")
        return self


# Bridges and cables to containers and virtual machines: their addresses are of no use to a viewer, and each costs checks.
VIRTUAL_INTERFACES = (
    "docker*", "br-*", "veth*", "virbr*", "vnet*", "cni*", "flannel*", "cali*",
    "lxcbr*", "lxdbr*", "incusbr*", "podman*", "vboxnet*", "vmnet*",
)  # fmt: skip


class IceSettings(Section):
    """[ice]: how the camera finds a way to its viewers."""

    applied = Applied.NEWCOMERS

    policy: Literal["all", "relay"] = Field("all", description="relay: only ever send through TURN")
    servers: tuple[IceServer, ...] = Field((), description="STUN and TURN servers; none unless you name some")
    use_signaling_servers: bool = Field(True, description="also use the servers that the signaling server hands out")
    standby_relay: bool = Field(
        False, description="keep an address at the TURN server ready, so that a relayed viewer is connected as fast as a direct one"
    )
    interfaces: tuple[str, ...] = Field((), description='only these network interfaces, e.g. ["eth0", "wl*"]; all when empty')
    exclude_interfaces: tuple[str, ...] = Field(
        VIRTUAL_INTERFACES, description="interfaces that lead to no viewer; ignored when interfaces is given"
    )
    ipv6: bool = Field(True, description="use IPv6 addresses too")
    link_local: bool = Field(False, description="use link-local addresses too (169.254.0.0/16, fe80::/10)")
    udp_ports: str = Field(
        "", description='UDP ports for media, e.g. "40000-40199", one per viewer and address of this machine; any when empty'
    )
    nat_address: str = Field(
        "", description="public IPv4 address that is mapped 1:1 to this machine (cloud, port-forward), UDP ports included"
    )

    @field_validator("udp_ports")
    @classmethod
    def _ports_are_a_range(cls, value: str) -> str:
        parse_ports(value)
        return value

    @field_validator("nat_address")
    @classmethod
    def _nat_address_is_ipv4(cls, value: str) -> str:
        try:
            return str(ipaddress.IPv4Address(value)) if value else value
        except ValueError:
            raise ValueError(f"{value!r} is not an IPv4 address; write for example 203.0.113.5") from None

    @property
    def port_range(self) -> range | None:
        return parse_ports(self.udp_ports)
