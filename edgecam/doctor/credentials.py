"""Step: services that hand out TURN credentials; and the whole list of ICE servers, each with its origin."""

from __future__ import annotations

import time
from dataclasses import dataclass

from edgecam.doctor.findings import Finding, ok, problem_of
from edgecam.errors import IceCredentialsError
from edgecam.ice_servers.fetching import fetch
from edgecam.ice_servers.minted import minted
from edgecam.settings import IceServer
from edgecam.signaling.reasons import endpoint

STEP = "credentials"


@dataclass(frozen=True, slots=True)
class Gathered:
    """Servers as (origin, server). `finding` and `date` only where a service was asked."""

    servers: tuple[tuple[str, IceServer], ...]
    finding: Finding | None = None
    date: str = ""


async def gather(server: IceServer) -> Gathered:
    """One entry of `[[ice.servers]]` with credentials that are good now, whatever way it gets them."""
    if server.secret.get_secret_value():
        return Gathered((("minted", minted(server, time.time())),))
    if not server.credentials_url:
        return Gathered((("configured", server),))
    where = endpoint(server.credentials_url)
    try:
        fetched = await fetch(server)
    except IceCredentialsError as error:
        return Gathered((), problem_of(STEP, where, error))
    answer = fetched.answer
    found = ok(
        STEP,
        where,
        f"hands out {len(answer.servers)} server(s), good for {round(answer.ttl)} s",
        ttl_s=round(answer.ttl),
    )
    return Gathered(tuple(("fetched", each) for each in answer.servers), found, fetched.date)
