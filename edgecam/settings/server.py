"""[server]: the bundled signaling server."""

from __future__ import annotations

import re
from pathlib import Path
from types import MappingProxyType

from pydantic import Field, SecretStr, field_validator, model_validator

from edgecam.settings.http import ListenerSettings
from edgecam.settings.ice import IceServer
from edgecam.settings.section import Applied, Seconds, Section


class LimitSettings(Section):
    """[server.limits]: what one address or one client may use. Addresses of this machine are not limited; IPv6 counts by /64."""

    applied = Applied.SERVER

    connections_per_address: int = Field(100, ge=0, description="WebSockets open at once from one address; 0: no limit")
    joins_per_minute: int = Field(120, ge=0, description="WebSockets opened a minute from one address; 0: no limit")
    address_messages: int = Field(2000, ge=1, description="messages a second from one address, all its clients together")
    camera_messages: int = Field(1000, ge=1, description="messages a second from one camera, which speaks to many viewers")
    viewer_messages: int = Field(50, ge=1, description="messages a second from one viewer; what is more is read later")
    camera_bytes: int = Field(4_000_000, ge=1000, description="bytes a second from one camera, and from one address")
    viewer_bytes: int = Field(300_000, ge=1000, description="bytes a second from one viewer")
    register_within: Seconds = Field(120, ge=1, le=86_400, description="seconds a client may be connected and be neither camera nor viewer")


class ServerSettings(ListenerSettings):
    """[server]: the bundled signaling server (`edgecam server`)."""

    applied = Applied.SERVER
    applied_otherwise = MappingProxyType({})  # listen is not the daemon's here

    listen: str = Field("127.0.0.1:8080", description="host:port of the signaling server and its pages")
    public_url: str = Field(
        "", pattern=r"^(https?://[^\s/?#]+(/[^\s?#]*)?)?$", description="address under which people reach it, for invites, e.g. https://cams.example"
    )
    allow_anonymous: bool = Field(
        False, description="let clients in without the token (older clients that know of none)"
    )
    signing_keys: tuple[SecretStr, ...] = Field(
        (), description="keys of signed tokens, 32 characters or more each, the newest first; one is generated when empty"
    )
    tls_certificate: Path | None = Field(None, description="PEM file with the chain: speaks https and wss; renewals are noticed")
    tls_key: Path | None = Field(None, description="PEM file of the certificate's private key")
    audit_file: Path | None = Field(
        None, description="JSON lines of who connected, joined, was refused; the log has them too (logger edgecam.audit)"
    )
    audit_file_bytes: int = Field(
        10_000_000, ge=10_000, description="size at which that file is set aside as .1; at most two such files are kept"
    )
    resume_within: Seconds = Field(
        15, ge=0, le=300, description="seconds for which the place of a client whose connection broke is kept; 0: not at all"
    )
    redis: SecretStr = Field(
        SecretStr(""),
        description="Redis or Valkey that joins several servers into one, e.g. redis://:PASSWORD@10.0.0.5:6379; none when empty",
    )
    redis_prefix: str = Field(
        "edgecam", pattern=r"^[A-Za-z0-9._-]{1,32}$", description="begins every key and channel there; another one is another cluster"
    )
    instance: str = Field("", max_length=64, description="what this server is called among those; its host name when empty")
    limits: LimitSettings = LimitSettings()
    ice_servers: tuple[IceServer, ...] = Field((), description="handed to cameras and viewers when they register")
    max_cameras: int = Field(1000, ge=1, description="cameras registered at once")
    max_viewers: int = Field(1000, ge=1, description="viewers registered at once")

    @field_validator("signing_keys")
    @classmethod
    def _keys_are_long(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(key.get_secret_value()) < 32 for key in value):
            raise ValueError("a signing key needs 32 characters or more; `openssl rand -base64 33` makes one")
        return value

    @field_validator("redis")
    @classmethod
    def _redis_is_an_address(cls, value: SecretStr) -> SecretStr:
        if not re.fullmatch(r"(rediss?://\S+|unix:///\S+)?", value.get_secret_value()):
            raise ValueError("that is no address of Redis; write redis://[:PASSWORD@]HOST:PORT, or rediss:// for TLS")
        return value

    @model_validator(mode="after")
    def _certificate_has_a_key(self) -> ServerSettings:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together; set both or neither")
        return self

    @property
    def is_private(self) -> bool:
        return super().is_private and not self.public_url
