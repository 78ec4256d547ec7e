"""What a device says of itself in mDNS (RFC 6762, RFC 6763), both ends: the service's name and its TXT record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgecam import __version__
from edgecam.fleet.identity import Device

SERVICE_TYPE = "_edgecam._tcp.local."
TXT_VERSION = "1"  # of these keys
LONGEST_LABEL = 63 - len("-99")  # bytes; a name that is taken gets a number
LONGEST_VALUE = 255 - len("cameras=")  # bytes (RFC 6763 section 6.1: a length byte each)


@dataclass(frozen=True, slots=True)
class Found:
    """A device on the network. `addresses` are IP literals, IPv4 first; `state` is ready, not-ready, or empty when it does
    not say."""

    id: str
    name: str
    version: str
    cameras: tuple[str, ...]
    state: str
    location: str
    host: str
    addresses: tuple[str, ...]
    port: int
    path: str
    tls: bool

    @property
    def authority(self) -> str:
        """`address:port`; empty when no address is known."""
        if not self.addresses:
            return ""
        host = f"[{self.addresses[0]}]" if ":" in self.addresses[0] else self.addresses[0]
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Where its page is; empty when no address is known."""
        return f"{'https' if self.tls else 'http'}://{self.authority}{self.path}" if self.addresses else ""


def instance_name(name: str) -> str:
    """The device's name as one label of at most 63 bytes; dots, which would part it, become hyphens."""
    label = " ".join(name.replace(".", "-").split())
    return _cut(label, LONGEST_LABEL).strip() or "edgecam"


def next_name(name: str) -> str:
    """What a device is called when that name is taken: `Front gate`, `Front gate-2`, `Front gate-3`."""
    stem, _, number = name.rpartition("-")
    return f"{stem}-{int(number) + 1}" if stem and number.isdigit() else f"{name}-2"


def text_record(device: Device, cameras: Sequence[str], *, ready: bool, tls: bool) -> dict[str, str]:
    """The TXT record's keys and values. Whoever is on the network reads them: nothing in them is secret."""
    record = {
        "txtvers": TXT_VERSION,  # RFC 6763 section 6.7: stands first
        "id": device.id,
        "name": device.name,
        "version": __version__,
        "cameras": _list(cameras),
        "path": "/",
        "tls": "1" if tls else "0",
        "state": "ready" if ready else "not-ready",
    }
    return {**record, "location": device.location} if device.location else record


def found(host: str, port: int, addresses: Sequence[str], properties: Mapping[bytes, bytes | None]) -> Found:
    """What a TXT record says; it comes from the network, and may say anything."""
    said = {_text(key): _text(value) for key, value in properties.items()}
    path = said.get("path", "/")
    return Found(
        id=said.get("id", ""),
        name=said.get("name", ""),
        version=said.get("version", ""),
        cameras=tuple(filter(None, said.get("cameras", "").split(","))),
        state=said.get("state", ""),
        location=said.get("location", ""),
        host=host.removesuffix("."),
        addresses=tuple(sorted(addresses, key=lambda address: ":" in address)),
        port=port,
        path=path if path.startswith("/") else "/",
        tls=said.get("tls") == "1",
    )


def _text(value: bytes | None) -> str:
    """Printable characters only: it is shown on terminals."""
    text = (value or b"").decode("utf-8", "replace")
    return "".join(character if character.isprintable() else "?" for character in text)


def _list(names: Sequence[str]) -> str:
    """As many of them, joined by commas, as fit into one value."""
    text = ",".join(names)
    while len(text) > LONGEST_VALUE:  # names of cameras are ASCII
        text = text.rpartition(",")[0]
    return text


def _cut(text: str, longest: int) -> str:
    return text.encode()[:longest].decode("utf-8", "ignore")
