"""The HTTP of a WHIP client (RFC 9725): POST an offer, PATCH candidates, DELETE the session; redirects; who gets the token."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import structlog
from yarl import URL

from edgecam.errors import ConfigError, SignalingError
from edgecam.settings import IceServer
from edgecam.settings.signaling import WhipSignaling
from edgecam.signaling.fields import MAX_SDP_BYTES
from edgecam.signaling.reasons import endpoint, unreachable
from edgecam.signaling.whip_headers import FRAGMENT, ice_servers, origin, retry_after

log = structlog.get_logger(__name__)

POST_TIMEOUT = 10.0  # seconds for DNS, TCP, TLS, redirects and the answer together
PATCH_TIMEOUT = 5.0  # seconds
DELETE_TIMEOUT = 1.0  # seconds; stopping waits for it
MAX_REDIRECTS = 5
AFTER_REFUSAL = 60.0  # seconds until a token that was refused is tried again
_REDIRECTS = {301, 302, 307, 308}  # nginx sends 301 from http to https; the method stays in any case
_GONE = {404, 410}
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class RefusedError(SignalingError):
    """The server is there and does not take the camera. `wait`: seconds until it is asked again at the earliest."""

    code = "signaling-refused"

    def __init__(self, message: str, *, remedy: str = "", code: str = "", wait: float = 0.0) -> None:
        super().__init__(message, remedy=remedy, code=code)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class _Reply:
    url: URL
    status: int
    headers: Mapping[str, str]
    links: Sequence[str]
    body: str


@dataclass(frozen=True, slots=True)
class Published:
    """What the server made of an offer. `resource` is the session's URL, None where it named none."""

    answer: str
    resource: URL | None
    etag: str
    trickles: bool  # whether it takes candidates later
    ice_servers: tuple[IceServer, ...]


def require_addresses(section: str, settings: WhipSignaling, url: str) -> None:
    """Raise ConfigError for an address that is none."""
    for text, key in ((url, "url"), *((text, "token_origins") for text in settings.token_origins)):
        try:
            usable = bool(URL(text).host)
        except ValueError:
            usable = False
        if not usable:
            raise ConfigError(f"[signaling.{section}] {key}: {text!r} is no address", remedy="write for example https://media.example")


class WhipServer:
    """A `[signaling.SECTION]` endpoint, for one camera. Nothing here retries."""

    def __init__(self, http: aiohttp.ClientSession, section: str, settings: WhipSignaling, url: str) -> None:
        self._http = http
        self._section = section
        self._settings = settings
        self._url = URL(url)
        self.where = endpoint(url)
        self._token = ""
        self._trusted = {origin(self._url), *(origin(URL(text)) for text in settings.token_origins)}

    async def post(self, offer: str) -> Published:
        """Publish. Raises RefusedError, or SignalingError when nobody is there."""
        self._token = await self._read_token()
        headers = {"Content-Type": "application/sdp", "Accept": "application/sdp"}
        reply = await self._ask("POST", self._url, headers, offer, POST_TIMEOUT)
        if reply.status not in {200, 201}:
            raise self._refused(reply)
        if not reply.body.lstrip().startswith("v=0"):
            raise RefusedError(
                f"{self.where} took the offer and did not answer with SDP", remedy=f"check that [signaling.{self._section}] url speaks WHIP"
            )
        accepted = reply.headers.get("Accept-Patch", "").lower()
        try:
            resource = _joined(reply.url, reply.headers["Location"])
        except (KeyError, ValueError):
            resource = None  # it can be neither trickled to nor deleted, and is published all the same
        return Published(
            answer=reply.body,
            resource=resource,
            etag=reply.headers.get("ETag", ""),
            trickles=resource is not None and FRAGMENT in accepted,
            ice_servers=ice_servers(reply.links),
        )

    async def patch(self, published: Published, fragment: str) -> bool | None:
        """Send a fragment; whether more may follow, None when the server does not know the session any more.
        Raises SignalingError when nobody is there."""
        assert published.resource is not None
        headers = {"Content-Type": FRAGMENT}
        if published.etag:
            headers["If-Match"] = published.etag
        reply = await self._ask("PATCH", published.resource, headers, fragment, PATCH_TIMEOUT)
        if reply.status in _GONE:
            return None
        if reply.status >= 300:
            log.debug("whip.trickle-refused", via=f"signaling.{self._section}", status=reply.status, reason=self._said(reply))
        return reply.status < 300

    async def delete(self, published: Published) -> None:
        """End the session; what the server says to that changes nothing. Never raises."""
        if published.resource is None:
            return
        try:
            reply = await self._ask("DELETE", published.resource, {}, None, DELETE_TIMEOUT)
        except SignalingError as error:
            log.debug("whip.delete-failed", via=f"signaling.{self._section}", reason=str(error))
        else:
            log.debug("whip.deleted", via=f"signaling.{self._section}", status=reply.status)

    # inside

    async def _read_token(self) -> str:
        if not self._settings.token_file:
            return self._settings.token.get_secret_value()
        try:
            return (await asyncio.to_thread(Path(self._settings.token_file).read_text)).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise RefusedError(
                f"the token cannot be read ({type(error).__name__})", remedy=f"check [signaling.{self._section}] token_file"
            ) from error

    async def _ask(self, method: str, url: URL, headers: Mapping[str, str], body: str | None, within: float) -> _Reply:
        """The reply at the end of all redirects. The method and the body stay; the token goes to trusted origins only."""
        try:
            async with asyncio.timeout(within):
                for _ in range(MAX_REDIRECTS + 1):
                    reply = await self._ask_once(method, url, headers, body)
                    target = reply.headers.get("Location", "")
                    if reply.status not in _REDIRECTS or not target:
                        return reply
                    url = self._followed(url, target)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise unreachable(error, str(url), self._section, speaks="WHIP") from error
        raise RefusedError(f"{self.where} redirects more than {MAX_REDIRECTS} times", remedy=f"correct [signaling.{self._section}] url")

    async def _ask_once(self, method: str, url: URL, headers: Mapping[str, str], body: str | None) -> _Reply:
        sent = dict(headers)
        if self._token and origin(url) in self._trusted:
            sent["Authorization"] = f"Bearer {self._token}"
        async with self._http.request(method, url, headers=sent, data=body, allow_redirects=False) as response:
            raw = await _read(response)
            text = raw.decode("utf-8", "replace")
            return _Reply(url, response.status, response.headers, response.headers.getall("Link", []), text)

    def _followed(self, url: URL, target: str) -> URL:
        followed = _joined(url, target)
        if url.scheme == "https" and followed.scheme == "http":
            raise RefusedError(
                f"{self.where} redirects to {endpoint(str(followed))}, where nothing is encrypted",
                remedy="correct the server's configuration",
            )
        return followed

    def _refused(self, reply: _Reply) -> RefusedError:
        said, section, code = self._said(reply), self._section, ""
        wait = retry_after(reply.headers.get("Retry-After")) or 0.0
        reason = f"HTTP {reply.status}" + (f", {said}" if said else "")
        if reply.status in {401, 403}:
            wait, code = max(wait, AFTER_REFUSAL), "signaling-auth"
            if origin(reply.url) not in self._trusted:
                there = f"{reply.url.scheme}://{reply.url.authority}"
                remedy = f"the server leads to {there}, which is not given the token: name it in [signaling.{section}] token_origins"
            elif self._token:
                remedy = f"the token is wrong or has expired: correct [signaling.{section}] token or token_file"
            else:
                remedy = f"it wants a token: set [signaling.{section}] token"
        elif reply.status in {404, 405}:
            remedy = f"correct the path in [signaling.{section}] url, or create the stream there"
        elif reply.status in {406, 415, 422}:
            remedy = "the server does not take this offer: allow H.264 there"
        elif reply.status == 409:
            remedy = "somebody else publishes there, or an earlier session has not timed out yet"
        else:
            remedy = f"it is tried again by itself, after {wait:g} s as the server asks" if wait else "it is tried again by itself"
        return RefusedError(f"the media server {self.where} refused the camera: {reason}", remedy=remedy, code=code, wait=wait)

    def _said(self, reply: _Reply) -> str:
        """What the server says about an error: one bounded line, in which the token is not repeated."""
        if reply.body.lstrip().startswith("<"):
            return ""
        line = _CONTROLS.sub(" ", reply.body[:400]).strip()
        return (line.replace(self._token, "…") if self._token else line)[:200]


def _joined(base: URL, target: str) -> URL:
    """Raises ValueError for what is no URL of HTTP."""
    joined = base.join(URL(target))
    if joined.scheme not in {"http", "https"} or not joined.host:
        raise ValueError("no URL of HTTP")
    return joined


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body. Raises ValueError when it is too long for a description."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(16_384):
        body += chunk
        if len(body) > MAX_SDP_BYTES:
            raise ValueError("the reply is too long")
    return bytes(body)
