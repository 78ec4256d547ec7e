"""One request to a service that hands out TURN credentials: bounded in time and size, and never sent elsewhere."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import aiohttp
from yarl import URL

from edgecam import __version__
from edgecam.errors import IceCredentialsError
from edgecam.ice_servers.answers import Answer, malformed, read
from edgecam.settings import IceServer
from edgecam.signaling.reasons import endpoint

TIMEOUT = 10.0  # seconds for DNS, TCP, TLS, redirects and the body together
MAX_BYTES = 64 * 1024
MAX_REDIRECTS = 3
_MOVED = {301, 302, 303, 307, 308}


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came. `date` is the response's Date header (RFC 9110 section 6.6.1), empty when it had none."""

    answer: Answer
    date: str


async def fetch(server: IceServer) -> Fetched:
    """Servers and credentials from `server.credentials_url`. Raises IceCredentialsError with cause and remedy."""
    where = endpoint(server.credentials_url)
    try:
        async with (
            asyncio.timeout(TIMEOUT),
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session,
        ):
            text, date = await _get(session, server, where)
    except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
        raise _unreachable(error, where) from error
    return Fetched(read(text, server), date)


async def _get(session: aiohttp.ClientSession, server: IceServer, where: str) -> tuple[str, str]:
    headers = {"Accept": "application/json", "User-Agent": f"edgecam/{__version__}"}
    if token := server.credentials_token.get_secret_value():
        headers["Authorization"] = f"Bearer {token}"
    origin = url = URL(server.credentials_url)
    for _ in range(MAX_REDIRECTS + 1):
        async with session.get(url, headers=headers, allow_redirects=False) as response:
            if response.status not in _MOVED:
                return await _body(response, where), response.headers.get("Date", "")
            url = _followed(url, response.headers.get("Location", ""), origin, where)
    raise _refused(f"{where} redirects without end")


def _followed(url: URL, location: str, origin: URL, where: str) -> URL:
    target = url.join(URL(location))
    if not location or target.origin() != origin.origin():
        # Whoever can redirect us would get the bearer token, and we would take its servers.
        other = endpoint(str(target))
        raise _refused(
            f"{where} redirects to another origin, {other}", "name that address in credentials_url if it is right"
        )
    return target


async def _body(response: aiohttp.ClientResponse, where: str) -> str:
    if response.status in {401, 403}:
        raise _refused(
            f"{where} answered HTTP {response.status}", "check credentials_token and the key in credentials_url"
        )
    if response.status != 200:
        error = IceCredentialsError if response.status >= 500 or response.status == 429 else _refused
        raise error(
            f"{where} answered HTTP {response.status}", remedy="check credentials_url and the service's own status"
        )
    data = bytearray()
    async for chunk in response.content.iter_chunked(8192):
        data += chunk
        if len(data) > MAX_BYTES:
            raise malformed(f"it is larger than {MAX_BYTES // 1024} KiB")
    return data.decode("utf-8", "replace")


def _refused(message: str, remedy: str = "check credentials_url") -> IceCredentialsError:
    return IceCredentialsError(message, remedy=remedy, code="credentials-refused")


def _unreachable(error: Exception, where: str) -> IceCredentialsError:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = "its TLS certificate is not trusted"
    elif isinstance(error, aiohttp.ClientConnectorDNSError):
        cause = f"the host name {error.host!r} cannot be resolved"
    elif isinstance(error, TimeoutError):
        cause = f"no answer within {TIMEOUT:g} s"
    elif isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error.strerror or type(error.os_error).__name__
    else:
        cause = type(error).__name__
    return IceCredentialsError(
        f"cannot fetch TURN credentials from {where}: {cause}",
        remedy="check credentials_url and the network",
        code="credentials-unreachable",
    )
