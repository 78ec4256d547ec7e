"""What WHIP (RFC 9725) says in HTTP headers and in the fragments of trickle ICE. Pure text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from yarl import URL

from edgecam.settings import IceServer
from edgecam.signaling.fields import ice_servers_from

FRAGMENT = "application/trickle-ice-sdpfrag"  # RFC 8840
LONGEST_WAIT = 3600.0  # seconds; a server that asks for more is asked again after this

_LINK = re.compile(r'<([^>]*)>((?:\s*;\s*[a-zA-Z*-]+\s*(?:=\s*(?:"(?:\\.|[^"\\])*"|[^\s;,"]*))?)*)')
_PARAMETER = re.compile(r';\s*([a-zA-Z*-]+)\s*=\s*(?:"((?:\\.|[^"\\])*)"|([^\s;,"]*))')
_UFRAG = re.compile(r"^a=ice-ufrag:\S+", re.MULTILINE)
_PASSWORD = re.compile(r"^a=ice-pwd:\S+", re.MULTILINE)
_MID = re.compile(r"^a=mid:\S+", re.MULTILINE)
_MEDIA = re.compile(r"^m=(\S+) \d+ (\S+ \d+)", re.MULTILINE)
_DEFAULT_PORTS = {"http": 80, "https": 443}


def origin(url: URL) -> tuple[str, str, int]:
    """Scheme, host and port (RFC 6454): who is trusted with a token."""
    return url.scheme, (url.host or "").lower(), url.port or _DEFAULT_PORTS.get(url.scheme, 0)


def ice_servers(links: Iterable[str]) -> tuple[IceServer, ...]:
    """The STUN and TURN servers in `Link` headers with rel="ice-server" (RFC 9725 section 4.6). Never raises."""
    found: list[dict[str, object]] = []
    for header in links:
        for url, parameters in _LINK.findall(header):
            said = {name.lower(): re.sub(r"\\(.)", r"\1", quoted) or plain for name, quoted, plain in _PARAMETER.findall(parameters)}
            if "ice-server" in said.get("rel", "").lower().split():
                found.append({"urls": url, "username": said.get("username", ""), "credential": said.get("credential", "")})
    return ice_servers_from(found)


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a `Retry-After` header (RFC 9110 section 10.2.3) asks for, None when it says nothing usable."""
    text = (value or "").strip()
    if re.fullmatch(r"\d{1,9}", text):
        return min(float(text), LONGEST_WAIT)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return min(max(0.0, (when - (now or datetime.now(UTC))).total_seconds()), LONGEST_WAIT)


@dataclass(frozen=True, slots=True)
class Fragments:
    """What every trickled fragment of one session repeats: its section and its ICE credentials (RFC 8840 section 4.4)."""

    head: str

    @classmethod
    def of(cls, offer: str) -> Fragments:
        """For the candidates of an offer with one media section."""
        text = offer.replace("\r\n", "\n")
        media, mid = _MEDIA.search(text), _MID.search(text)
        ufrag, password = _UFRAG.search(text), _PASSWORD.search(text)
        assert media is not None, "our own offer has a media section"
        lines = [f"a=group:BUNDLE {mid[0].removeprefix('a=mid:')}"] if mid is not None else []
        lines.append(f"m={media[1]} 9 {media[2]}")
        lines += [line[0] for line in (mid, ufrag, password) if line is not None]
        return cls("".join(f"{line}\r\n" for line in lines))

    def holding(self, candidates: Iterable[str], *, complete: bool) -> str:
        """A fragment with these candidates (`candidate:…`). `complete`: no more will come."""
        lines = [f"a={candidate.removeprefix('a=')}\r\n" for candidate in candidates]
        return self.head + "".join(lines) + ("a=end-of-candidates\r\n" if complete else "")
