"""Why a signaling server could not be used, in one line that names the cause and what to do."""

from __future__ import annotations

import re
import ssl

import aiohttp
from yarl import URL

from edgecam.errors import SignalingError

_OPAQUE = re.compile(r"(?<=/)(?=[^/]*\d)[^/]{24,}")  # stream keys in the paths of media servers


def endpoint(url: str) -> str:
    """The server's address for people: without user, password, query and long opaque parts of the path, where secrets may stand."""
    try:
        parsed = URL(url)
    except ValueError:
        return "the configured address"
    return f"{parsed.scheme}://{parsed.host}:{parsed.port}{_OPAQUE.sub('…', parsed.path)}"


def unreachable(error: Exception, url: str, section: str, speaks: str = "WebSocket") -> SignalingError:
    """The SignalingError for a connection that did not come about, to a server of which is asked that it `speaks` that."""
    where, setting = endpoint(url), f"[signaling.{section}] url"
    if isinstance(error, aiohttp.WSServerHandshakeError):
        return _handshake(error, where, section)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause, remedy = (
            "its TLS certificate is not trusted",
            "install its CA certificate on this machine, or correct ",
        )
    elif isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        cause, remedy = "TLS failed; perhaps it speaks without", "correct "
    elif isinstance(error, aiohttp.ClientConnectorDNSError):
        cause, remedy = (
            f"the host name {error.host!r} cannot be resolved",
            "check the network's DNS, or correct ",
        )
    elif isinstance(error, TimeoutError):
        cause, remedy = (
            "it did not answer in time",
            "check that it runs and that no firewall is between, or correct ",
        )
    elif isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, ConnectionRefusedError):
        cause, remedy = "nothing listens on that port", "start the server, or correct "
    elif isinstance(error, aiohttp.ClientConnectorError):
        cause, remedy = (
            error.os_error.strerror or type(error.os_error).__name__,
            "check the network, or correct ",
        )
    elif isinstance(error, aiohttp.InvalidURL):
        cause, remedy = "that is no address", "correct "
    else:
        cause, remedy = (
            f"it broke off the connection ({type(error).__name__})",
            f"check that it speaks {speaks}, or correct ",
        )
    return SignalingError(
        f"cannot reach the signaling server {where}: {cause}",
        remedy=remedy + setting,
        code="signaling-unreachable",
    )


def _handshake(error: aiohttp.WSServerHandshakeError, where: str, section: str) -> SignalingError:
    if error.status in {401, 403}:
        return refused(f"HTTP {error.status}: it wants a token, or another one", where, section)
    if error.status == 429:
        return refused("HTTP 429: too many attempts with a wrong token", where, section)
    return SignalingError(
        f"{where} answered HTTP {error.status} instead of opening a WebSocket",
        remedy=f"correct the path in [signaling.{section}] url",
        code="signaling-refused",
    )


def refused(
    reason: str, url: str, section: str, setting: str = "token", code: str = "signaling-refused"
) -> SignalingError:
    """The SignalingError for a server that is there but does not want us; `reason` is what it said, `setting` what to look at."""
    return SignalingError(
        f"the signaling server {endpoint(url)} refused this camera: {reason}",
        remedy=f"check [signaling.{section}] {setting} and the server's own settings",
        code=code,
    )
