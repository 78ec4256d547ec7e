"""Remote ICE candidates on their way to the agent: parsed leniently, queued until they can be used."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from edgecam.peers import Candidate, PeerKey
from edgecam.rtc.ice.candidate import Candidate as IceCandidate
from edgecam.rtc.ice.candidate import parse_line

log = structlog.get_logger(__name__)

# A browser has a handful of addresses; whoever sends hundreds of candidates is not one.
MAX_CANDIDATES = 64
MAX_EARLY_PEERS = 128


def parse(candidate: Candidate, *, loopback: bool = False) -> IceCandidate | None:
    """The candidate in what came off the wire; None for TCP, what cannot be parsed, and where no viewer can be. `loopback`: it is
    of a media server that was configured, which may well be on this machine."""
    parsed = parse_line(candidate.candidate)
    return parsed if parsed is not None and _may_be_a_peer(parsed.host, loopback=loopback) else None


def _may_be_a_peer(host: str, *, loopback: bool) -> bool:
    """No viewer has such an address; checks sent there would only trouble somebody else."""
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        return not ((address.is_loopback and not loopback) or address.is_multicast or address.is_unspecified or host == "255.255.255.255")
    return host.endswith(".local")


class RemoteCandidates:
    """One session's remote candidates: kept until the remote description is set, then applied in order.

    Of more than MAX_CANDIDATES in a session's life the rest is dropped: each is an address that ICE sends checks to.
    """

    def __init__(self, viewer: str, apply: Callable[[str | None, IceCandidate | None], Awaitable[None]], *, loopback: bool = False) -> None:
        self._viewer = viewer
        self._loopback = loopback
        self._apply = apply
        self._taken = 0
        self._queue: asyncio.Queue[tuple[str | None, IceCandidate | None]] = asyncio.Queue()

    def add(self, candidate: Candidate | None) -> None:
        """Take a candidate, or the end of them (None)."""
        if self._taken >= MAX_CANDIDATES:
            return
        parsed = parse(candidate, loopback=self._loopback) if candidate is not None else None
        if candidate is not None and parsed is None:
            log.debug("candidate.ignored", viewer=self._viewer, candidate=candidate.candidate[:80])
            return
        self._taken += 1
        self._queue.put_nowait((candidate.sdp_mid if candidate is not None else None, parsed))

    def restarted(self) -> None:
        """After an ICE restart the viewer names all of its addresses anew."""
        self._taken = 0

    async def apply_waiting(self) -> None:
        """Apply what has come."""
        while not self._queue.empty():
            await self._apply(*self._queue.get_nowait())

    async def run(self) -> None:
        """Apply what comes, until cancelled; to be started once the remote description is set."""
        while True:
            await self._apply(*await self._queue.get())


class EarlyCandidates:
    """Candidates that came before their session: bounded per peer and in peers, the oldest peer forgotten first."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[PeerKey, deque[Candidate | None]] = OrderedDict()

    def add(self, key: PeerKey, candidate: Candidate | None) -> None:
        queue = self._waiting.setdefault(key, deque(maxlen=MAX_CANDIDATES))
        queue.append(candidate)
        while len(self._waiting) > MAX_EARLY_PEERS:
            self._waiting.popitem(last=False)

    def take(self, key: PeerKey) -> list[Candidate | None]:
        return list(self._waiting.pop(key, ()))
