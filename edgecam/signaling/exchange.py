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
from edgecam.signaling.said import SaidLast

log = structlog.get_logger(__name__)

MAX_PEERS = 200  # viewers that may be negotiating with one camera at once
MAX_INBOX = 128  # messages that one viewer may have waiting
NEGOTIATION_TIMEOUT = 20.0  # seconds; where only relays are allowed, silent TURN servers are waited for
VIEWER_OFFER_TIMEOUT = 5.0  # seconds that a viewer which said it would offer has to do so
CALL_GATHER = 5.0  # seconds that an offer which must hold all candidates waits for them


class Outgoing(Protocol):
    """How a dialect sends what the camera has to say. Raises SignalingError when the connection is gone."""

    async def send_offer(self, peer: str, sdp: str) -> None:
        """The camera's offer, with the candidates that are at hand."""

    async def send_answer(self, peer: str, sdp: str) -> None:
        """The camera's answer, with the candidates that are at hand."""

    async def send_candidate(self, peer: str, candidate: Candidate) -> None:
        """One more of the camera's candidates."""

    async def send_error(self, peer: str, error: EdgecamError) -> None:
        """Why this viewer is not served."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A viewer is there. `offers`: it will send the offer, or may, and is given `patience` seconds for that before the camera
    does. `returning`: by its id, it may have a session."""

    offers: bool = False
    returning: bool = True
    patience: float = VIEWER_OFFER_TIMEOUT


@dataclass(frozen=True, slots=True)
class Call:
    """The camera calls somebody: an offer that holds all candidates, and `ring` seconds in which a person may answer it."""

    ring: float


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


@dataclass(frozen=True, slots=True)
class HungUp:
    """The viewer has ended the call in so many words."""


@dataclass(frozen=True, slots=True)
class LocalCandidate:
    """The session has found one more candidate of its own."""

    candidate: Candidate


@dataclass(frozen=True, slots=True)
class PathLost:
    """The session has lost its path, and not because of the viewer."""


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """The camera has ended the session."""

    error: EdgecamError


PeerEvent = Joined | Call | RemoteOffer | RemoteAnswer | RemoteCandidate | Left | HungUp | LocalCandidate | PathLost | TurnedAway


class Line:
    """Where a camera's viewers can be reached now, and what was said last to each. Sessions live longer than the connections
    that carry their messages."""

    def __init__(self) -> None:
        self.exchange: Exchange | None = None
        self.said = SaidLast()


class _Link:
    """Implements `peers.PeerLink`: what comes while there is no connection is dropped."""

    def __init__(self, line: Line, peer: str) -> None:
        self._line = line
        self._peer = peer

    def local_candidate(self, candidate: Candidate | None) -> None:
        if candidate is not None and self._line.exchange is not None:  # no dialect has a message for the end of them
            self._line.exchange.receive(self._peer, LocalCandidate(candidate))

    def path_lost(self) -> None:
        if self._line.exchange is not None:
            self._line.exchange.receive(self._peer, PathLost())

    def turned_away(self, error: EdgecamError) -> None:
        if self._line.exchange is not None:
            self._line.exchange.receive(self._peer, TurnedAway(error))


@dataclass(slots=True)
class _Peer:
    id: str
    inbox: deque[PeerEvent] = field(default_factory=deque)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def moved_on(self) -> bool:
        """Whether an answer would be stale: the viewer has offered anew or left meanwhile."""
        return any(isinstance(event, RemoteOffer | Left | HungUp) for event in self.inbox)

    @property
    def superseded(self) -> bool:
        """Whether an offer of the camera would be stale: the viewer has also perhaps joined anew."""
        return self.moved_on or any(isinstance(event, Joined) for event in self.inbox)


class Exchange:
    """Negotiates with the viewers of one camera over one connection; its tasks belong to `group`. `gather`: seconds that a
    description waits for STUN and TURN, for viewers that take no candidates beside it. `answer_within`: seconds that the
    camera's offers are good for, where it is not known whether anybody hears them. `recalls`: a session that loses its path is
    offered anew; without it is ended, where an offer of the camera would make somebody's telephone ring."""

    def __init__(
        self,
        via: str,
        camera: str,
        sessions: Sessions,
        outgoing: Outgoing,
        group: asyncio.TaskGroup,
        line: Line | None = None,
        gather: float | None = None,
        answer_within: float | None = None,
        *,
        recalls: bool = True,
    ) -> None:
        self._gather = gather
        self._recalls = recalls
        self._answer_within = answer_within
        self._ice_servers: Sequence[IceServer] = ()
        self._line = line or Line()
        self._line.exchange = self
        self._via = via
        self._camera = camera
        self._sessions = sessions
        self._outgoing = outgoing
        self._group = group
        self._peers: dict[str, _Peer] = {}
        self._turned_away: deque[str] = deque(maxlen=MAX_PEERS)

    @property
    def ice_servers(self) -> Sequence[IceServer]:
        """What the signaling server hands out to this camera."""
        return self._ice_servers

    @ice_servers.setter
    def ice_servers(self, servers: Sequence[IceServer]) -> None:
        self._ice_servers = servers
        self._sessions.ice_servers_known(self._via, self._camera, servers)

    def close(self) -> None:
        """The connection is gone: nobody may be reached over it any more."""
        if self._line.exchange is self:
            self._line.exchange = None
            self._sessions.ice_servers_known(self._via, self._camera, ())

    def receive(self, peer_id: str, event: PeerEvent) -> None:
        """Take in what a viewer sent or did. Returns at once."""
        peer = self._peers.get(peer_id)
        if peer is None:
            if len(self._peers) >= MAX_PEERS:
                self._turn_away(peer_id, event)
                return
            peer = self._peers[peer_id] = _Peer(peer_id)
            self._group.create_task(self._serve(peer), name=f"{self._via}.{self._camera}.peer")
        if isinstance(event, Left | HungUp):
            peer.inbox.clear()
        if len(peer.inbox) >= MAX_INBOX:
            log.debug("message.dropped", via=self._via, camera=self._camera, peer=peer_id[:6])
            return
        peer.inbox.append(event)
        peer.arrived.set()

    def _turn_away(self, peer_id: str, event: PeerEvent) -> None:
        if isinstance(event, Left | HungUp):
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
                await self._answer(peer, sdp)
            case RemoteAnswer(sdp):
                await self._take_answer(peer, sdp)
            case RemoteCandidate(candidate):
                self._sessions.add_candidate(key, candidate)
            case LocalCandidate(candidate):
                await self._outgoing.send_candidate(peer.id, candidate)
            case Call(ring):
                await self._call(peer, CALL_GATHER, ring)
            case PathLost() if not self._recalls:
                await self._sessions.close(key, "the way to the viewer is lost")
            case PathLost():
                await self._call(peer, self._gather, self._answer_within)
            case TurnedAway(error):
                self._line.said.left(peer.id)
                await self._outgoing.send_error(peer.id, error)
            case Left():
                self._line.said.left(peer.id)
                self._sessions.signaling_lost(key)
            case HungUp():
                self._line.said.left(peer.id)
                await self._sessions.close(key, "the viewer hung up")

    async def _answer(self, peer: _Peer, offer: str) -> None:
        if peer.moved_on:
            return
        key = self._key(peer.id)
        self._line.said.offer_came(peer.id)
        answer = self._line.said.answer_to(peer.id, offer) if self._sessions.knows(key) else ""
        if not answer:
            answer = await self._sessions.answer(key, offer, self.ice_servers, _Link(self._line, peer.id), self._gather)
            self._line.said.answered(peer.id, offer, answer)
        if not peer.moved_on:
            await self._outgoing.send_answer(peer.id, answer)

    async def _take_answer(self, peer: _Peer, answer: str) -> None:
        if not self._line.said.answer_came(peer.id, answer):
            return
        if self._line.said.crossed(peer.id) and not self._sessions.alive(self._key(peer.id)):
            await self._call(peer, self._gather, self._answer_within)
        else:
            await self._sessions.accept_answer(self._key(peer.id), answer)

    async def _greet(self, peer: _Peer, joined: Joined) -> None:
        key = self._key(peer.id)
        if joined.returning and self._sessions.alive(key):
            log.debug("viewer.returned", via=self._via, camera=self._camera, peer=peer.id[:6])
            return
        if self._line.said.just_offered(peer.id):
            log.debug("message.repeated", via=self._via, camera=self._camera, peer=peer.id[:6])
            return
        offered = joined.offers and await self._viewer_offers(peer, joined.patience)
        if joined.offers and joined.returning and not offered and self._sessions.alive(key):
            return  # it had offered before its socket was replaced, and is connected by now
        await self._call(peer, self._gather, self._answer_within)

    async def _call(self, peer: _Peer, gather: float | None, answer_within: float | None) -> None:
        if peer.superseded:
            return
        key, link = self._key(peer.id), _Link(self._line, peer.id)
        offer = await self._sessions.offer(key, self.ice_servers, link, gather, answer_within)
        # The camera is the polite peer: an offer that came while ours was made wins, ours is never sent.
        if not peer.superseded:
            self._line.said.offered(peer.id)
            await self._outgoing.send_offer(peer.id, offer)

    async def _viewer_offers(self, peer: _Peer, patience: float) -> bool:
        """Wait for the offer that the viewer announced; False when it does not come in time."""
        try:
            async with asyncio.timeout(patience):
                while not peer.superseded:
                    peer.arrived.clear()
                    await peer.arrived.wait()
        except TimeoutError:
            return False
        return True
