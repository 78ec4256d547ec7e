"""Remote ICE candidates on their way into aiortc: parsed leniently, queued until they can be used."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
from aiortc import RTCIceCandidate
from aiortc.sdp import candidate_from_sdp

from edgecam.peers import Candidate, PeerKey

log = structlog.get_logger(__name__)

# A browser has a handful of addresses; whoever sends hundreds of candidates is not one.
MAX_CANDIDATES = 64
MAX_EARLY_PEERS = 128


def parse(candidate: Candidate) -> RTCIceCandidate | None:
    """The aiortc form of a candidate; None for end-of-candidates, TCP, and what cannot be parsed."""
    text = candidate.candidate.strip().removeprefix("a=").removeprefix("candidate:")
    fields = text.split()
    if len(fields) < 8 or fields[2].lower() != "udp" or len(text) > 1024:
        return None
    try:
        parsed = candidate_from_sdp(text)
    except (ValueError, IndexError, AssertionError):
        return None
    if not 0 < parsed.port < 65536 or not _may_be_a_peer(str(parsed.ip)):
        return None
    parsed.sdpMid = candidate.sdp_mid
    # Candidates without either belong to the first section: everything is bundled there.
    parsed.sdpMLineIndex = candidate.sdp_mline_index if candidate.sdp_mline_index is not None else 0
    return parsed


def _may_be_a_peer(host: str) -> bool:
    """No viewer has such an address; checks sent there would only trouble somebody else."""
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        return not (address.is_loopback or address.is_multicast or address.is_unspecified or host == "255.255.255.255")
    return host.endswith(".local")


def is_mdns(candidate: RTCIceCandidate) -> bool:
    """Whether the address is a browser's anonymised `<uuid>.local` (RFC 8828 section 5.2)."""
    return str(candidate.ip).endswith(".local")


class RemoteCandidates:
    """One session's remote candidates: kept until the remote description is set, then applied in order.

    Of more than MAX_CANDIDATES in a session's life the rest is dropped: each is an address that ICE sends checks to.
    """

    def __init__(self, viewer: str, apply: Callable[[RTCIceCandidate], Awaitable[None]]) -> None:
        self._viewer = viewer
        self._apply = apply
        self._taken = 0
        self._queue: asyncio.Queue[RTCIceCandidate] = asyncio.Queue()

    def add(self, candidate: Candidate | None) -> None:
        """Take a candidate. The end of them (None) is not passed on: with none left aiortc would fail at once, while
        the viewer's own checks may still reveal its address (peer-reflexive)."""
        if candidate is None:
            return
        parsed = parse(candidate) if self._taken < MAX_CANDIDATES else None
        if parsed is None:
            log.debug("candidate.ignored", viewer=self._viewer, candidate=candidate.candidate[:80])
            return
        self._taken += 1
        self._queue.put_nowait(parsed)

    async def run(self) -> None:
        """Apply what comes, until cancelled; to be started once the remote description is set."""
        async with asyncio.TaskGroup() as resolving:
            while True:
                candidate = await self._queue.get()
                if is_mdns(candidate):  # resolving can take a second, and nothing may wait for it
                    resolving.create_task(self._try(candidate), name=f"mdns {self._viewer}")
                else:
                    await self._try(candidate)

    async def _try(self, candidate: RTCIceCandidate) -> None:
        try:
            await self._apply(candidate)
        except Exception as error:  # noqa: BLE001 - per-viewer boundary: a peer's candidate must not end its session
            log.debug("candidate.refused", viewer=self._viewer, error=repr(error))


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
