"""Names that signaling and sessions share: who a viewer is, and an ICE candidate as it came off the wire."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from edgecam.settings import IceServer


@dataclass(frozen=True, slots=True)
class PeerKey:
    """One viewer of one camera. `via` is how it came (`signaling.home`, `whep`), `peer` its id there."""

    via: str
    camera: str
    peer: str

    @property
    def shown(self) -> str:
        """The viewer for logs, status and metrics: its id is as good as a password at the signaling server, so only
        the beginning, and a few digits of a hash, because beginnings can be alike."""
        return f"{self.peer[:8]}.{hashlib.sha256(self.peer.encode()).hexdigest()[:4]}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A remote ICE candidate: the `candidate-attribute` line of RFC 8839 section 5.1, with or without `a=`."""

    candidate: str
    sdp_mid: str | None = None
    sdp_mline_index: int | None = None


class Sessions(Protocol):
    """What signaling may ask of the viewers' sessions. They belong to `rtc.viewers.Viewers`, not to signaling:
    nothing here is torn down because a socket dropped."""

    async def answer(self, key: PeerKey, offer_sdp: str, ice_servers: Sequence[IceServer] = ()) -> str:
        """The complete SDP answer (all local candidates inside) to a viewer's offer; an older session of `key` is
        replaced. Raises NegotiationError or ViewerRefusedError."""

    async def offer(self, key: PeerKey, ice_servers: Sequence[IceServer] = ()) -> str:
        """A complete SDP offer from the camera; an older session of `key` is replaced. Raises ViewerRefusedError."""

    async def accept_answer(self, key: PeerKey, answer_sdp: str) -> None:
        """The viewer's answer to `offer`. Raises NegotiationError; an answer nobody waits for is ignored."""

    def add_candidate(self, key: PeerKey, candidate: Candidate | None) -> None:
        """A remote candidate, None for end-of-candidates. Never raises; early ones are queued (bounded) per key."""

    def alive(self, key: PeerKey) -> bool:
        """Whether that viewer has a session whose ICE consent is fresh (RFC 7675)."""

    def signaling_lost(self, key: PeerKey) -> None:
        """The viewer left the signaling server: close its session once it has had no consent for 10 s."""

    async def close(self, key: PeerKey, reason: str) -> None:
        """End that viewer's session now, with BYE. Unknown keys are ignored."""
