"""Names that signaling and sessions share: who a viewer is, and an ICE candidate as it came off the wire."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from edgecam.errors import EdgecamError
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


_TIMED_USER = re.compile(r"(\d{1,11}):.*|(\d{9,11})")


def expiry_of(username: str) -> float | None:
    """The Unix time at which a TURN credential ends, where its user name tells: `<expiry>:<name>` or `<expiry>`
    (draft-uberti-behave-turn-rest-00)."""
    match = _TIMED_USER.fullmatch(username)
    return float(match[1] or match[2]) if match else None


class IceServers(Protocol):
    """STUN and TURN servers whose credentials may change. `current()` returns at once and never raises."""

    def current(self) -> Sequence[IceServer]:
        """The servers with credentials that are good now, ready to be handed to peers."""


class PeerIceServers(Protocol):
    """Servers whose minted credentials bear the name of whom they are for. Returns at once and never raises."""

    def for_peer(self, name: str) -> Sequence[IceServer]:
        """The servers for that peer, with credentials that are good now."""


class PeerLink(Protocol):
    """How a session reaches its viewer through whatever signaling brought it. Calls return at once and never raise; what
    cannot be sent is dropped."""

    def local_candidate(self, candidate: Candidate | None) -> None:
        """One more of the camera's candidates, None for the end of them."""

    def path_lost(self) -> None:
        """The session has lost its path for good, and not because of the viewer: negotiate anew."""

    def turned_away(self, error: EdgecamError) -> None:
        """The session is ended by the camera's side, and why."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Why a session is over. `code` is stable, and empty where ICE has nothing to explain."""

    reason: str
    code: str = ""


class Sessions(Protocol):
    """What signaling may ask of the viewers' sessions. They belong to `rtc.viewers.Viewers`, not to signaling:
    nothing here is torn down because a socket dropped."""

    async def answer(
        self,
        key: PeerKey,
        offer_sdp: str,
        ice_servers: Sequence[IceServer] = (),
        link: PeerLink | None = None,
        patience: float | None = None,
    ) -> str:
        """The SDP answer to a viewer's offer; an older session of `key` is replaced. With `link` it holds what local candidates
        are at hand, and the link gets the others as they come; without, it waits for all of them. `patience`: seconds to wait
        for more, whichever it is. Raises NegotiationError or ViewerRefusedError."""

    async def offer(
        self,
        key: PeerKey,
        ice_servers: Sequence[IceServer] = (),
        link: PeerLink | None = None,
        patience: float | None = None,
        answer_within: float | None = None,
    ) -> str:
        """An SDP offer from the camera, otherwise like `answer`. `answer_within`: seconds that it may wait for somebody to answer,
        in which it counts as no viewer; without, a viewer is there and has the time for connecting. Raises ViewerRefusedError."""

    async def accept_answer(self, key: PeerKey, answer_sdp: str) -> None:
        """The viewer's answer to `offer`. Raises NegotiationError; an answer nobody waits for is ignored."""

    def add_candidate(self, key: PeerKey, candidate: Candidate | None) -> None:
        """A remote candidate, None for end-of-candidates. Never raises; early ones are queued (bounded) per key."""

    def knows(self, key: PeerKey) -> bool:
        """Whether that viewer has a session, connected or not."""

    def alive(self, key: PeerKey) -> bool:
        """Whether that viewer has a session whose ICE consent is fresh (RFC 7675)."""

    def ice_servers_known(self, via: str, camera: str, servers: Sequence[IceServer]) -> None:
        """What signaling hands out to that camera from now on, nothing once its connection is gone: for what is made ready
        before a viewer comes. Never raises."""

    def signaling_lost(self, key: PeerKey) -> None:
        """The viewer left the signaling server: close its session once it has had no consent for 10 s."""

    def is_private(self, camera: str) -> bool:
        """Whether nobody may watch that camera now."""

    async def until_public(self, camera: str) -> None:
        """Wait while that camera is private."""

    async def close(self, key: PeerKey, reason: str) -> None:
        """End that viewer's session now, with BYE. Unknown keys are ignored."""


class Publications(Sessions, Protocol):
    """Sessions, and what a dialect needs that publishes a camera to a media server: a session that is no viewer, counts as none,
    and is refused by no limit of viewers."""

    async def publish(
        self, key: PeerKey, ice_servers: Sequence[IceServer] = (), link: PeerLink | None = None, patience: float | None = None
    ) -> str:
        """An SDP offer (sendonly) to a media server, otherwise like `offer`."""

    def add_ice_servers(self, key: PeerKey, servers: Sequence[IceServer]) -> None:
        """Ask these STUN and TURN servers too: a media server may name its own only with its answer. Never raises."""

    async def connected(self, key: PeerKey) -> bool:
        """Wait until that session sends, or is over; whether it sends."""

    async def ended(self, key: PeerKey) -> Ended:
        """Wait until that session is over."""
