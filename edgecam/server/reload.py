"""`[server]` read again on SIGHUP: who may come in, how many, and what they are handed; nobody who is connected notices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from edgecam import logs
from edgecam.errors import ConfigError
from edgecam.health import HealthBoard
from edgecam.http.guard import Guard
from edgecam.http.tokens import listener_token, state_dir_of
from edgecam.ice_servers.provider import ConfiguredIceServers
from edgecam.server.access import Access
from edgecam.server.hub import Hub
from edgecam.server.reception import Reception
from edgecam.settings import ServerSettings, Settings

log = structlog.get_logger(__name__)

UNREGISTERED = 256  # connections beyond the registered cameras and viewers
IN_PLACE = frozenset({"token", "cors_origins", "allowed_hosts", "trusted_proxies", "public_url", "signing_keys", "limits",
                      "ice_servers", "max_cameras", "max_viewers"})  # fmt: skip
# Together they decide whether a token is asked for at all, and with that whether there are signed ones.
DOOR = frozenset({"token", "allowed_hosts", "trusted_proxies", "public_url"})


@dataclass(frozen=True, slots=True)
class Parts:
    """What of the server other settings reach while it runs."""

    guard: Guard
    hub: Hub
    reception: Reception
    access: Access


class SettingsReload:
    """Calling it reads the settings and applies them, on the loop. A file that does not hold changes nothing. Never raises."""

    def __init__(self, reread: Callable[[], Settings], settings: Settings, parts: Parts) -> None:
        self._reread = reread
        self._settings = settings
        self._parts = parts

    def __call__(self) -> None:
        before = self._settings
        try:
            settings = self._reread()
            old, new = before.server, settings.server
            restart = [key for key in ServerSettings.model_fields if getattr(old, key) != getattr(new, key) and not _applies(key, old, new)]
            new = new.model_copy(update={key: getattr(old, key) for key in restart})
            token = listener_token(new, state_dir_of(before), "server").token
        except ConfigError as error:
            log.warning("config.refused", reason=str(error))
            return
        if restart:
            log.warning("config.restart-needed", keys=[f"server.{key}" for key in restart])
        if before.log != settings.log:
            logs.configure(settings.log)
        self._parts.access.apply(new)
        self._parts.guard.apply(new, token, new.public_url)
        self._parts.hub.apply(self._ice_servers(old, new), new.max_cameras, new.max_viewers)
        self._parts.reception.apply(new.limits, room(new))
        self._settings = settings.model_copy(update={"server": new})

    def _ice_servers(self, old: ServerSettings, new: ServerSettings) -> ConfiguredIceServers | None:
        """Other ones; None when they are the same."""
        return ConfiguredIceServers(new.ice_servers, HealthBoard()) if old.ice_servers != new.ice_servers else None


def room(settings: ServerSettings) -> int:
    """Connections that there may be at once."""
    return settings.max_cameras + settings.max_viewers + UNREGISTERED


def _applies(key: str, old: ServerSettings, new: ServerSettings) -> bool:
    if key == "ice_servers":  # a list that is fetched needs somebody who fetches it
        return not any(server.credentials_url for server in (*old.ice_servers, *new.ice_servers))
    if key == "limits":
        return old.limits.register_within == new.limits.register_within
    if key in DOOR and _has_door(old) != _has_door(new):
        return False
    return key in IN_PLACE


def _has_door(settings: ServerSettings) -> bool:
    return bool(settings.token.get_secret_value()) or not settings.is_private
