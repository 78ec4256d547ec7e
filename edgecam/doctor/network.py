"""Everything outside this machine, looked at in one go while the cameras are tried: signaling, credentials, STUN, TURN."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgecam.doctor.clock import Clock, compared
from edgecam.doctor.credentials import Gathered, gather
from edgecam.doctor.findings import Finding
from edgecam.doctor.reach import Reach, look_around
from edgecam.doctor.servers import Endpoint, endpoints, resolve_all
from edgecam.doctor.signaling import SignalingResult, try_signaling
from edgecam.doctor.turn import TurnResult, try_turn
from edgecam.settings import IceServer, Settings
from edgecam.signaling.reasons import endpoint as shown_url


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What this machine can be told by others: signaling servers, services for credentials, and so the time."""

    signaling: Sequence[Finding]
    credentials: Sequence[Finding]
    clock: Clock
    servers: Sequence[Endpoint]


async def look_at_surroundings(settings: Settings, daemon: dict[str, Any] | None) -> Surroundings:
    """Visit all signaling servers and services at once. `daemon` is a running daemon's status document."""
    cameras = [name for name, camera in settings.camera.items() if camera.enabled]
    lines = {line["name"]: line for line in daemon["signaling"]} if daemon is not None else {}
    visits = asyncio.gather(
        *(
            try_signaling(name, section, _first(cameras, section.cameras), lines.get(name))
            for name, section in settings.signaling.items()
        )
    )
    gathering = asyncio.gather(*map(gather, settings.ice.servers))
    visited, gathered = dict(zip(settings.signaling, await visits, strict=True)), await gathering
    servers = [entry for each in gathered for entry in each.servers] + _handed_out(settings, visited)
    return Surroundings(
        [result.finding for result in visited.values()],
        [each.finding for each in gathered if each.finding is not None],
        _clock(settings, visited, gathered),
        endpoints(servers),
    )


def _first(cameras: Sequence[str], chosen: Sequence[str]) -> str:
    return next((name for name in cameras if not chosen or name in chosen), "")


def _clock(settings: Settings, visited: dict[str, SignalingResult], gathered: Sequence[Gathered]) -> Clock:
    dates = [(shown_url(settings.signaling[name].url), result.date) for name, result in visited.items()]
    dates += [(each.finding.subject, each.date) for each in gathered if each.finding is not None]
    not_yet = next((f"signaling.{name}" for name, result in visited.items() if result.not_yet_valid), "")
    return Clock.of((compared(who, date) for who, date in dates if date), not_yet)


def _handed_out(settings: Settings, visited: dict[str, SignalingResult]) -> list[tuple[str, IceServer]]:
    if not settings.ice.use_signaling_servers:
        return []
    return [("signaling", server) for result in visited.values() for server in result.ice_servers]


@dataclass(frozen=True, slots=True)
class Servers:
    """What STUN and TURN servers did."""

    reach: Reach
    turn: Sequence[TurnResult]

    @property
    def usable(self) -> list[Endpoint]:
        return [result.endpoint for result in self.turn if result.relayed is not None]


async def look_at_servers(listed: Sequence[Endpoint], clock: Clock) -> Servers:
    """Ask all STUN and TURN servers at once."""
    addresses = await resolve_all(listed)
    turn = [endpoint for endpoint in listed if endpoint.server.kind == "turn"]
    trying = asyncio.gather(*(try_turn(endpoint, addresses[endpoint.where], clock) for endpoint in turn))
    reach = await look_around(listed, addresses)
    return Servers(reach, [result.seen_with(reach) for result in await trying])
