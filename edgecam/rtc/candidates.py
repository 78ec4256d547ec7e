"""Remote ICE candidates on their way into aiortc: parsed leniently, queued until they can be used."""

from __future__ import annotations

from collections import OrderedDict, deque

from aiortc import RTCIceCandidate
from aiortc.sdp import candidate_from_sdp

from edgecam.peers import Candidate, PeerKey

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
    if not 0 < parsed.port < 65536:
        return None
    parsed.sdpMid = candidate.sdp_mid
    # Candidates without either belong to the first section: everything is bundled there.
    parsed.sdpMLineIndex = candidate.sdp_mline_index if candidate.sdp_mline_index is not None else 0
    return parsed


def is_mdns(candidate: RTCIceCandidate) -> bool:
    """Whether the address is a browser's anonymised `<uuid>.local` (RFC 8828 section 5.2)."""
    return str(candidate.ip).endswith(".local")


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
