"""All configured servers of one section, whatever way each gets its credentials."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial

from edgecam.health import HealthBoard
from edgecam.ice_servers.fetched import BACKOFF, FetchedServers
from edgecam.ice_servers.minted import Minted
from edgecam.peers import IceServers
from edgecam.settings import IceServer
from edgecam.supervisor import supervise

Job = tuple[str, Callable[[], Coroutine[object, object, None]]]


class _Static:
    def __init__(self, server: IceServer) -> None:
        self._servers = (server,)

    def current(self) -> Sequence[IceServer]:
        return self._servers


class ConfiguredIceServers:
    """Implements `peers.IceServers` and `peers.PeerIceServers` for `[[ice.servers]]` and `[[server.ice_servers]]`. `jobs` are
    for `background`: they fetch and renew, one component of the board each (`ice.credentials`, with a number when there
    are several)."""

    def __init__(self, servers: Sequence[IceServer], board: HealthBoard) -> None:
        fetched = sum(bool(server.credentials_url) for server in servers)
        self._fetching: list[FetchedServers] = []
        self._sources: list[IceServers] = []
        for server in servers:
            if server.credentials_url:
                number = f".{len(self._fetching) + 1}" if fetched > 1 else ""
                self._fetching.append(FetchedServers(server, board.component(f"ice.credentials{number}")))
                self._sources.append(self._fetching[-1])
            else:
                self._sources.append(Minted(server) if server.secret.get_secret_value() else _Static(server))

    def current(self) -> Sequence[IceServer]:
        return [server for source in self._sources for server in source.current()]

    def for_peer(self, name: str) -> Sequence[IceServer]:
        """Like `current`, but what is minted is minted now and bears `name`: the TURN server's log and quotas tell peers apart."""
        return [
            server
            for source in self._sources
            for server in (source.for_peer(name) if isinstance(source, Minted) else source.current())
        ]

    @property
    def jobs(self) -> list[Job]:
        return [(each.component.name, partial(supervise, each.run, each.component, BACKOFF)) for each in self._fetching]
