"""[device], [mdns], [mqtt]: one camera host among many, and who is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from edgecam.settings.section import Applied, Seconds, Section

# A level of a topic (MQTT 3.1.1, section 4.7): no separators, no wildcards, nothing that does not print.
_TOPIC = r"^[^/+#\s\x00-\x1f$][^/+#\x00-\x1f]{0,63}(/[^/+#\x00-\x1f]{1,64}){0,3}$"
_MQTT_PORTS = {"mqtt": 1883, "mqtts": 8883}


class DeviceSettings(Section):
    """[device]: what this machine is called in status, metrics, mDNS, MQTT."""

    applied = Applied.PART
    applied_otherwise = MappingProxyType({"id": Applied.RESTART})  # the listener answers to a name that comes from it

    name: str = Field("", max_length=60, description="name for people; the host's name when empty")
    location: str = Field("", max_length=100, description='where it is, in words, e.g. "front gate"')
    id: str = Field(
        "",
        pattern=r"^([a-z0-9][a-z0-9-]{3,63})?$",
        description="stable identity; derived from the machine's own when empty. Several daemons on one machine need one each",
    )

    @field_validator("name", "location")
    @classmethod
    def _is_one_line(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("it must be one line of printable text")
        return value.strip()


class MdnsSettings(Section):
    """[mdns]: announcing this machine on its network, for `edgecam discover` and whoever looks for _edgecam._tcp."""

    applied = Applied.PART

    enabled: bool | None = Field(
        None,
        description="unset: announce when [web] listens on the network and python3-zeroconf is there; "
        "true: always, also a loopback listener (behind a reverse proxy); false: never",
    )
    port: int = Field(0, ge=0, le=65535, description="port to announce, e.g. a reverse proxy's; 0: the one of [web] listen")
    tls: bool = Field(False, description="say that what answers there speaks https")


@dataclass(frozen=True, slots=True)
class Broker:
    """Where an MQTT broker is, and as whom to go there; `username` empty: as nobody."""

    host: str
    port: int
    tls: bool
    username: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


def parse_broker(text: str) -> Broker:
    """`mqtt(s)://[user@]host[:port]`. Raises ValueError with what would be right, and without what was written."""
    right = "write for example mqtt://camera@broker.example:1883, or mqtts:// for TLS"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"no address of an MQTT broker; {right}") from None
    if parts.password is not None:
        raise ValueError("the address holds a password; put it into the key password, or a credential mqtt.password")
    if parts.scheme not in _MQTT_PORTS or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"no address of an MQTT broker; {right}")
    return Broker(parts.hostname, port or _MQTT_PORTS[parts.scheme], parts.scheme == "mqtts", unquote(parts.username or ""))


class MqttSettings(Section):
    """[mqtt]: telling an MQTT broker, and with it Home Assistant, how the cameras are."""

    applied = Applied.PART

    url: str = Field("", description="the broker, e.g. mqtts://camera@broker.example:8883; empty: none")
    password: SecretStr = Field(SecretStr(""), description="password of the user in url")
    ca_file: Path | None = Field(
        None, description="mqtts: PEM file of the authority that signed the broker's certificate; the system's when unset"
    )
    topic_prefix: str = Field("edgecam", pattern=_TOPIC, description="topics begin with this and the device's id")
    discovery_prefix: str = Field(
        "homeassistant", pattern=rf"{_TOPIC}|^$", description="where Home Assistant looks for devices; empty: do not tell it"
    )
    every: Seconds = Field(10, ge=1, le=3600, description="seconds between two messages of figures; a change of state is told at once")
    snapshots: bool = Field(
        False, description="whoever may write to the broker may ask for a picture, and whoever may read there sees it"
    )
    snapshot_every: Seconds = Field(
        0, ge=0, le=86_400, description='snapshots: seconds, or text such as "5m", between pictures that nobody asked for; 0: none'
    )

    privacy_switch: bool = Field(
        False, description="whoever may write to the broker may make a camera private, and end what was begun by such a switch"
    )

    @field_validator("url")
    @classmethod
    def _url_is_a_broker(cls, value: str) -> str:
        if value:
            parse_broker(value)
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> MqttSettings:
        if self.password.get_secret_value() and self.url and not parse_broker(self.url).username:
            raise ValueError("password needs a user in url, as in mqtt://camera@broker.example")
        if self.ca_file is not None and self.url and not parse_broker(self.url).tls:
            raise ValueError("ca_file needs an url that begins with mqtts://")
        if self.snapshot_every and not self.snapshots:
            raise ValueError("snapshot_every needs snapshots = true")
        return self

    @property
    def broker(self) -> Broker | None:
        return parse_broker(self.url) if self.url else None
