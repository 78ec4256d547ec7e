"""STUN and TURN servers: what their URLs say (RFC 7064, RFC 7065), and what is remembered of their health."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import structlog
from pydantic import SecretStr

from edgecam.rtc.ice.refusals import Refusal, refusal_of
from edgecam.settings import IceServer

log = structlog.get_logger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0  # seconds for which a server that failed is left alone: doubled each time
MAX_SERVERS = 16  # of each kind for one viewer
MAX_STUN = 4  # servers asked by one viewer's sockets
MAX_REMEMBERED = 64
_URL = re.compile(r"(stuns?|turns?):(?:\[([0-9a-fA-F:.]+)\]|([^?:\s\[\]]+))(?::(\d{1,5}))?(?:\?transport=(udp|tcp))?")


Kind = Literal["stun", "turn"]
KINDS: tuple[Kind, Kind] = ("stun", "turn")


@dataclass(frozen=True, slots=True)
class Server:
    """One URL with its credentials. `transport`: how to get there; `tls` over it."""

    url: str
    kind: Kind
    host: str
    port: int
    transport: Literal["udp", "tcp"]
    tls: bool
    username: str = ""
    credential: SecretStr = field(default_factory=lambda: SecretStr(""))

    @property
    def usable(self) -> bool:
        """TURN over DTLS and STUN over anything but UDP are of no use here."""
        return not self.tls or self.transport == "tcp" if self.kind == "turn" else not self.tls


def servers_of(configured: Sequence[IceServer]) -> tuple[Server, ...]:
    """Every usable URL of `configured` once, in their order."""
    found: dict[tuple[str, str], Server] = {}
    for entry in configured:
        for url in entry.urls:
            server = parse_url(url, entry.username, entry.credential)
            if server is not None and server.usable:
                found.setdefault((url, entry.username), server)
    return tuple(found.values())


def parse_url(url: str, username: str = "", credential: SecretStr | None = None) -> Server | None:
    """The server at `url`; None for what is no such URL."""
    match = _URL.fullmatch(url)
    if match is None:
        return None
    scheme, v6, name, port, transport = match.groups()
    tls = scheme.endswith("s")
    return Server(
        url,
        "stun" if scheme.startswith("stun") else "turn",
        v6 or name,
        int(port) if port else (5349 if tls else 3478),
        "tcp" if (transport or ("tcp" if tls else "udp")) == "tcp" else "udp",
        tls,
        username,
        credential or SecretStr(""),
    )


@dataclass(slots=True)
class Health:
    """What is known of one URL. `code`: empty, or `timeout`, `dns`, `refused`, `tls`, `lost`, or a STUN error such as `401`."""

    url: str
    works: bool | None = None
    code: str = ""
    detail: str = ""
    latency: float | None = None  # seconds from the first packet to the address
    failures: int = 0  # in a row
    retry_at: float = 0.0  # time.monotonic()
    counted: int = field(default=0)  # failures in all


REMEDIES = {
    "dns": "check its host name, and this machine's DNS",
    "tls": "check its certificate and its host name",
}
REMEDY = "check that it is running, and that this network lets through what leads to it"


class ServerHealth:
    """Remembers which servers work, so that dead ones cost a viewer nothing: they are left alone for a while, longer each time."""

    def __init__(self) -> None:
        self._known: dict[str, Health] = {}

    def of(self, url: str) -> Health:
        if url not in self._known:
            while len(self._known) >= MAX_REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[url] = Health(url)
        return self._known[url]

    def choose(self, servers: Sequence[Server]) -> list[Server]:
        """Those to try now: of each kind all that are not being left alone; if that leaves none, all of that kind."""
        now = time.monotonic()
        chosen: list[Server] = []
        for kind in KINDS:
            alike = [server for server in servers if server.kind == kind]
            well = [server for server in alike if self.of(server.url).retry_at <= now]
            chosen += (well or alike)[:MAX_SERVERS]
        return chosen

    def may_answer(self, server: Server) -> bool:
        """Whether it is worth waiting for: it is not one that failed a moment ago."""
        return self.of(server.url).retry_at <= time.monotonic()

    def succeeded(self, server: Server, seconds: float) -> None:
        health = self.of(server.url)
        if health.works is False:
            log.info(f"{server.kind}.usable", url=server.url, ms=round(seconds * 1000))
        health.works, health.code, health.detail, health.latency = True, "", "", seconds
        health.failures, health.retry_at = 0, 0.0

    def failed(self, server: Server, code: str, detail: str) -> None:
        health = self.of(server.url)
        if health.works is not False or health.code != code:
            log.warning(f"{server.kind}.unusable", url=server.url, code=code, reason=detail, remedy=_remedy(server, code))
        health.works, health.code, health.detail = False, code, detail
        health.failures += 1
        health.counted += 1
        health.retry_at = time.monotonic() + min(FIRST_PAUSE * 2 ** min(health.failures - 1, 10), LONGEST_PAUSE)

    def forgive(self) -> None:
        """The network has changed: what did not work may work now."""
        for health in self._known.values():
            health.retry_at, health.failures = 0.0, 0

    def explain(self, servers: Sequence[Server]) -> str:
        """Why none of the TURN servers among `servers` gave an address, for people."""
        known = [(server, self.of(server.url)) for server in servers if server.kind == "turn"]
        return "; ".join(f"{h.url}: {h.detail or 'not tried'}, {_remedy(server, h.code)}" for server, h in known)

    def refusal(self, servers: Sequence[Server]) -> Refusal | None:
        """What the first TURN server among `servers` means that answers and refuses; None when none does."""
        for server in servers:
            code = self.of(server.url).code
            if server.kind == "turn" and code.isdecimal():
                return refusal_of(int(code), server.username)
        return None

    def as_list(self) -> list[dict[str, Any]]:
        """For the status document: `latency_ms`, and `retry_s` while a server is left alone."""
        now = time.monotonic()
        return [
            {
                "url": h.url,
                "works": h.works,
                "code": h.code,
                "detail": h.detail,
                "latency_ms": round(h.latency * 1000, 1) if h.latency is not None else None,
                "failures": h.counted,
                "retry_s": round(h.retry_at - now, 1) if h.retry_at > now else None,
            }
            for h in self._known.values()
            if h.works is not None
        ]


def _remedy(server: Server, code: str) -> str:
    return refusal_of(int(code), server.username).remedy if code.isdecimal() else REMEDIES.get(code, REMEDY)
