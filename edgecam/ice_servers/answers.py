"""What services answer that hand out TURN credentials, in the shapes that are common."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from edgecam.errors import IceCredentialsError
from edgecam.peers import expiry_of
from edgecam.settings import IceServer
from edgecam.signaling.fields import ice_servers_from

SHORTEST = 10.0  # seconds; a service that says less would be asked without end
LONGEST = 31_536_000.0
_LIST_KEYS = ("iceServers", "ice_servers")
_TTL_KEYS = ("ttl", "lifetimeDuration", "lifetime", "expires_in")


@dataclass(frozen=True, slots=True)
class Answer:
    """Servers, and the seconds for which they are good from now."""

    servers: tuple[IceServer, ...]
    ttl: float


def read(text: str, asked: IceServer) -> Answer:
    """The answer in a response's body. `asked` gives the URLs where the service does not, and its `ttl` where neither
    the service nor the user name tells. Raises IceCredentialsError (credentials-malformed), which repeats nothing of it."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise malformed("it is not JSON") from None
    if isinstance(body, dict) and isinstance(body.get("v"), dict):  # Xirsys wraps the rest
        body = body["v"]
    servers = _listed(body) or _single(body, asked)
    if not servers:
        raise malformed("there is no usable STUN or TURN server with credentials in it")
    if asked.urls:
        servers = _at_configured_urls(servers, asked)
    return Answer(servers, _ttl(body, servers, asked.ttl))


def malformed(why: str) -> IceCredentialsError:
    return IceCredentialsError(
        f"the answer of credentials_url cannot be used: {why}",
        remedy='it should be {"iceServers": [{"urls", "username", "credential"}]} or {"username", "password", "ttl", "uris"}',
        code="credentials-malformed",
    )


def _listed(body: object) -> tuple[IceServer, ...]:
    """`[…]`, `{iceServers: […]}`, `{iceServers: {…}}` (Cloudflare), `{ice_servers: […]}` (Twilio)."""
    entries: object = body
    if isinstance(body, dict):
        entries = next((body[key] for key in _LIST_KEYS if key in body), None)
    return ice_servers_from([entries] if isinstance(entries, dict) else entries)


def _single(body: object, asked: IceServer) -> tuple[IceServer, ...]:
    """`{username, password, ttl, uris}` of the TURN REST API; without uris the configured ones."""
    if not isinstance(body, dict):
        return ()
    urls = body.get("uris") or body.get("urls") or list(asked.urls)
    credential = body.get("password") or body.get("credential")
    return ice_servers_from([{"urls": urls, "username": body.get("username"), "credential": credential}])


def _at_configured_urls(servers: tuple[IceServer, ...], asked: IceServer) -> tuple[IceServer, ...]:
    """The person has chosen the addresses: only the credentials are the service's."""
    credentials = next((server for server in servers if server.username), None)
    if credentials is None:
        raise malformed("there is no user name and password in it")
    return (credentials.model_copy(update={"urls": asked.urls}),)


def _ttl(body: object, servers: tuple[IceServer, ...], otherwise: float) -> float:
    """Seconds: what the service says ("86400", 86400, "86400s"), else the soonest expiry in a user name."""
    said = _said(body) if isinstance(body, dict) else None
    if said is None:
        now = time.time()
        times = [expiry for server in servers if (expiry := expiry_of(server.username)) is not None]
        said = min(times) - now if times else None
    if said is None:
        said = otherwise
    return min(max(said, SHORTEST), LONGEST)


def _said(body: Mapping[str, object]) -> float | None:
    for key in _TTL_KEYS:
        match = re.fullmatch(r"(\d{1,9})(?:\.\d+)?s?", str(body.get(key, "")))
        if match:
            return float(match[1])
    return None
