"""Offers, answers and candidates of one camera's viewers, whatever dialect carries them.

Each viewer has an inbox that one task empties: what one sends stays in order, and one whose negotiation
is slow holds up nobody. The sessions belong to `Sessions`: nothing here ends one because a socket dropped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from edgecam.errors import EdgecamError, NegotiationError, SignalingError, ViewerRefusedError
from edgecam.peers import Candidate, PeerKey, Sessions
from edgecam.settings import IceServer

log = structlog.get_logger(__name__)

MAX_PEERS = 200  # viewers that may be negotiating with one camera at once
MAX_INBOX = 128  # messages that one viewer may have waiting
NEGOTIATION_TIMEOUT = 20.0  # seconds; gathering behind silent STUN and TURN servers takes 5 to 10
VIEWER_OFFER_TIMEOUT = 5.0  # seconds that a viewer which said it would offer has to do so


class Outgoing(Protocol):
    """How a dialect sends what the camera has to say. Raises SignalingError when the connection is gone."""

    async def send_offer(self, peer: str, sdp: str) -> None:
        """The camera's complete offer."""

    async def send_answer(self, peer: str, sdp: str) -> None:
        """The camera's complete answer."""

    async def send_error(self, peer: str, error: EdgecamError) -> None:
        """Why this viewer is not served."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A viewer is there. `offers`: it will send the offer. `returning`: by its id, it may have a session."""

    offers: bool = False
    returning: bool = True


@dataclass(frozen=True, slots=True)
class RemoteOffer:
    """The viewer's offer."""

    sdp: str


@dataclass(frozen=True, slots=True)
class RemoteAnswer:
    """The viewer's answer."""

    sdp: str


@dataclass(frozen=True, slots=True)
class RemoteCandidate:
    """One of the viewer's candidates, None for the end of them."""

    candidate: Candidate | None


@dataclass(frozen=True, slots=True)
class Left:
    """The viewer's socket is gone."""


PeerEvent = Joined | RemoteOffer | RemoteAnswer | RemoteCandidate | Left


@dataclass(slots=True)
class _Peer:
    id: str
    inbox: deque[PeerEvent] = field(default_factory=deque)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def moved_on(self) -> bool:
        """Whether an answer would be stale: the viewer has offered anew or left meanwhile."""
        return any(isinstance(event, RemoteOffer | Left) for event in self.inbox)

    @property
    def superseded(self) -> bool:
        """Whether an offer of the camera would be stale: the viewer has also perhaps joined anew."""
        return self.moved_on or any(isinstance(event, Joined) for event in self.inbox)


class Exchange:
    """Negotiates with the viewers of one camera over one connection; its tasks belong to `group`."""

    def __init__(self, via: str, camera: str, sessions: Sessions, outgoing: Outgoing, group: asyncio.TaskGroup) -> None:
        self.ice_servers: Sequence[IceServer] = ()
        self._via = via
        self._camera = camera
        self._sessions = sessions
        self._outgoing = outgoing
        self._group = group
        self._peers: dict[str, _Peer] = {}
        self._turned_away: deque[str] = deque(maxlen=MAX_PEERS)

    def receive(self, peer_id: str, event: PeerEvent) -> None:
        """Take in what a viewer sent or did. Returns at once."""
        peer = self._peers.get(peer_id)
        if peer is None:
            if len(self._peers) >= MAX_PEERS:
                self._turn_away(peer_id, event)
                return
            peer = self._peers[peer_id] = _Peer(peer_id)
            self._group.create_task(self._serve(peer), name=f"{self._via}.{self._camera}.peer")
        if isinstance(event, Left):
            peer.inbox.clear()
        if len(peer.inbox) >= MAX_INBOX:
            log.debug("message.dropped", via=self._via, camera=self._camera, peer=peer_id[:6])
            return
        peer.inbox.append(event)
        peer.arrived.set()

    def _turn_away(self, peer_id: str, event: PeerEvent) -> None:
        if isinstance(event, Left):
            self._sessions.signaling_lost(self._key(peer_id))
        elif isinstance(event, Joined | RemoteOffer):
            if not self._turned_away:
                self._group.create_task(self._refuse_all(), name=f"{self._via}.{self._camera}.refuse")
            self._turned_away.append(peer_id)

    async def _refuse_all(self) -> None:
        """Tell those for whom there was no task; one task does it for all of them."""
        error = ViewerRefusedError("too many viewers join at once", remedy="try again in a few seconds")
        while self._turned_away:
            await self._refuse(self._turned_away[0], error)
            self._turned_away.popleft()

    def _key(self, peer_id: str) -> PeerKey:
        return PeerKey(self._via, self._camera, peer_id)

    async def _serve(self, peer: _Peer) -> None:
        """Work off a viewer's inbox; ends when it is empty, and the next message starts anew."""
        try:
            while peer.inbox:
                await self._handle_safely(peer, peer.inbox.popleft())
        finally:
            del self._peers[peer.id]

    async def _handle_safely(self, peer: _Peer, event: PeerEvent) -> None:
        """The boundary between viewers: what goes wrong with one is told to that one, and stays with it."""
        try:
            async with asyncio.timeout(NEGOTIATION_TIMEOUT + VIEWER_OFFER_TIMEOUT):
                await self._handle(peer, event)
        except SignalingError:
            raise  # the connection is gone, for all of them
        except (NegotiationError, ViewerRefusedError) as error:
            await self._refuse(peer.id, error)
        except TimeoutError:
            await self._refuse(peer.id, NegotiationError("negotiation took too long", code="negotiation-timeout"))
        except Exception:
            log.exception("negotiation.crashed", via=self._via, camera=self._camera, peer=peer.id[:6])
            await self._refuse(peer.id, NegotiationError("the camera failed to negotiate", code="internal"))

    async def _refuse(self, peer_id: str, error: EdgecamError) -> None:
        log.info(
            "viewer.refused",
            via=self._via,
            camera=self._camera,
            peer=peer_id[:6],
            code=error.code,
            reason=str(error),
        )
        await self._outgoing.send_error(peer_id, error)

    async def _handle(self, peer: _Peer, event: PeerEvent) -> None:
        key = self._key(peer.id)
        match event:
            case Joined():
                await self._greet(peer, event)
            case RemoteOffer(sdp):
                if peer.moved_on:
                    return
                answer = await self._sessions.answer(key, sdp, self.ice_servers)
                if not peer.moved_on:
                    await self._outgoing.send_answer(peer.id, answer)
            case RemoteAnswer(sdp):
                await self._sessions.accept_answer(key, sdp)
            case RemoteCandidate(candidate):
                self._sessions.add_candidate(key, candidate)
            case Left():
                self._sessions.signaling_lost(key)

    async def _greet(self, peer: _Peer, joined: Joined) -> None:
        key = self._key(peer.id)
        if joined.returning and self._sessions.alive(key):
            log.debug("viewer.returned", via=self._via, camera=self._camera, peer=peer.id[:6])
            return
        if joined.offers and not await self._viewer_offers(peer) and self._sessions.alive(key):
            return  # it had offered before its socket was replaced, and is connected by now
        if peer.superseded:
            return
        offer = await self._sessions.offer(key, self.ice_servers)
        # The camera is the polite peer: an offer that came while ours was made wins, ours is never sent.
        if not peer.superseded:
            await self._outgoing.send_offer(peer.id, offer)

    async def _viewer_offers(self, peer: _Peer) -> bool:
        """Wait for the offer that the viewer announced; False when it does not come in time."""
        try:
            async with asyncio.timeout(VIEWER_OFFER_TIMEOUT):
                while not peer.superseded:
                    peer.arrived.clear()
                    await peer.arrived.wait()
        except TimeoutError:
            return False
        return True
