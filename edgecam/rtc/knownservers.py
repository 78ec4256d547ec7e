"""All STUN and TURN servers that viewers may be served with: those of the configuration, and those that signaling hands out."""

from __future__ import annotations

from collections.abc import Sequence

from edgecam.peers import IceServers
from edgecam.settings import IceServer, IceSettings


class KnownServers:
    """Implements `peers.IceServers`. Without `configured`, the configuration's servers are taken as they stand in `ice`."""

    def __init__(self, ice: IceSettings, configured: IceServers | None = None) -> None:
        self.ice = ice
        self._configured = configured
        self._handed_out: dict[tuple[str, str], Sequence[IceServer]] = {}

    def hand_out(self, via: str, camera: str, servers: Sequence[IceServer]) -> None:
        """What that signaling connection hands out from now on; none when it is gone."""
        if servers:
            self._handed_out[via, camera] = tuple(servers)
        else:
            self._handed_out.pop((via, camera), None)

    def for_viewer(self, handed_out: Sequence[IceServer]) -> list[IceServer]:
        """For a viewer whose signaling hands these out."""
        return [*self.configured, *(handed_out if self.ice.use_signaling_servers else ())]

    @property
    def configured(self) -> Sequence[IceServer]:
        return self._configured.current() if self._configured is not None else self.ice.servers

    def current(self) -> Sequence[IceServer]:
        handed_out = self._handed_out.values() if self.ice.use_signaling_servers else ()
        return [*self.configured, *(server for servers in handed_out for server in servers)]
