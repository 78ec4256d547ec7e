"""Which device this is: an id that stays, a name and a place for people.

machine-id(5) asks not to show the machine's id itself: applications hash it with a key of their own, as
sd_id128_get_machine_app_specific(3) does. `systemd-id128 machine-id --app-specific=` and APP_ID gives the same.
"""

from __future__ import annotations

import hmac
import re
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

import structlog

from edgecam.errors import ConfigError
from edgecam.http.tokens import read_private, write_private
from edgecam.settings.fleet import DeviceSettings

log = structlog.get_logger(__name__)

MACHINE_ID = Path("/etc/machine-id")
APP_ID = "4e9a8ab80c8a4c5fa3c9e3ac9c1d5a27"  # edgecam's own; another one would be another device
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Device:
    """`id` is for machines and never changes; `name` and `location` are for people and may."""

    id: str
    name: str
    location: str = ""

    @property
    def host(self) -> str:
        """Its own name in mDNS, without `.local`: host names are often the same on many devices."""
        return f"edgecam-{self.id.replace('-', '')[:12]}"


def device(settings: DeviceSettings, state_dir: Path, machine_id: Path = MACHINE_ID) -> Device:
    """Who this is. The id is the configured one, else from the machine's id, else made once and kept in `state_dir`.

    Raises ConfigError when it must be kept and cannot.
    """
    identity = settings.id or _from_machine(machine_id) or _kept(state_dir)
    return Device(identity, settings.name or socket.gethostname(), settings.location)


def app_specific(machine_id: str, app_id: str = APP_ID) -> str:
    """The app's own id on the machine of that id, both 32 hex digits: HMAC-SHA256 cut to a UUID of version 4."""
    digest = bytearray(hmac.digest(bytes.fromhex(machine_id), bytes.fromhex(app_id), "sha256")[:16])
    digest[6] = digest[6] & 0x0F | 0x40
    digest[8] = digest[8] & 0x3F | 0x80
    return digest.hex()


def _from_machine(file: Path) -> str | None:
    """None where there is no machine id: some containers, and systems before their first boot ("uninitialized")."""
    try:
        text = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return app_specific(text) if _ID.fullmatch(text) and text != "0" * 32 else None


def _kept(state_dir: Path) -> str:
    path = state_dir / "device-id"
    try:
        known = read_private(path)
        if known is not None and _ID.fullmatch(known):
            return known
        made = secrets.token_hex(16)
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, f"{made}\n")
    except OSError as error:
        raise ConfigError(
            f"cannot keep the device's id in {path}: {error.strerror or error}",
            remedy=f"make {state_dir} writable for this user, set state_dir, or set [device] id",
        ) from error
    log.info("device.id-made", kept_in=str(path), reason=f"{MACHINE_ID} holds none")
    return made
