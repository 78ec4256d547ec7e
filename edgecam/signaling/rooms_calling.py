"""Who in a room is called, and how often: rooms tell little about who is there, and forget what nobody has heard.

A call is an offer that is said again, the same text, until somebody answers or it is stale. Where nothing tells that
somebody has come, the camera calls into the room for as long as nobody watches.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

import structlog

from edgecam.errors import EdgecamError
from edgecam.peers import Candidate, PeerKey, Sessions
from edgecam.settings.signaling import RoomsSignaling
from edgecam.signaling import rooms_wire as wire
from edgecam.signaling.connection import Connection
from edgecam.signaling.exchange import Exchange, HungUp, Joined, Left, RemoteAnswer, RemoteCandidate, RemoteOffer

log = structlog.get_logger(__name__)

ANYBODY = "viewer"  # whoever is in the room, where nothing tells viewers apart
CALL_AGAIN = 3.0  # seconds between two times that an offer is said
STALE = 50.0  # seconds for which an offer is said again; addresses in it may then lead nowhere
ANSWER_WITHIN = 60.0  # seconds that its session waits for the answer
ENTERING = 2.0  # seconds after the camera has come in which viewers that are there may offer
NOTICED = 0.5  # seconds that a viewer which has just come has to offer; most wait for who was there before them
BLIND_SPELL = 30.0  # seconds of calling to anybody where the server tells who comes
TIRELESS = 120.0  # seconds for which a viewer that does not get connected is called anew
NEGOTIATING = 2.0  # seconds in which nothing is concluded from a session that is not there yet
MAX_CALLEES = 64
MAX_HELD = 64  # candidates of a viewer that has neither offered nor answered
MAX_OWN = 128  # descriptions and candidates of ours that are known when they come back


@dataclass(slots=True)
class Callee:
    """Somebody in the room. Times are CLOCK_MONOTONIC seconds."""

    id: str
    heard_at: float
    noticed: bool = False  # by a notice of the server, and not only by messages
    offer: str = ""  # ours, that has not been answered
    offered_at: float = 0.0
    said_at: float = 0.0
    times: int = 0  # that it was said
    negotiated_at: float = -NEGOTIATING  # its offer or answer came, or its notice
    held: deque[Candidate | None] = field(default_factory=lambda: deque(maxlen=MAX_HELD))


class Company:
    """Who is in the room and how they write, from one connection to the next: their sessions go on meanwhile."""

    def __init__(self) -> None:
        self.form = wire.Form()
        self.callees: dict[str, Callee] = {}
        self.aliases: dict[str, str] = {}  # the viewer that has answered a call to anybody: its id to ANYBODY
        self.expected: set[str] = set()  # who was there before the connection was lost, and has not come back yet

    def connected_anew(self) -> None:
        """What was said over the old connection, nobody will answer over the new one."""
        self.expected = set(self.callees)
        for callee in self.callees.values():
            callee.offer = ""
            callee.held.clear()

    def callee(self, peer: str) -> Callee:
        """That viewer, known or new."""
        if peer not in self.callees:
            if len(self.callees) >= MAX_CALLEES:
                oldest = min((c for c in self.callees.values() if c.id != ANYBODY), key=lambda callee: callee.heard_at)
                del self.callees[oldest.id]
            self.callees[peer] = Callee(peer, time.monotonic())
        return self.callees[peer]


class Speech:
    """What is said in a room. Implements `exchange.Outgoing`."""

    def __init__(self, connection: Connection, settings: RoomsSignaling, company: Company, user: str) -> None:
        self._connection = connection
        self._settings = settings
        self._company = company
        self._user = user
        self._own: deque[int] = deque(maxlen=MAX_OWN)

    def is_own(self, text: str) -> bool:
        """Whether the relay sends us what we have said ourselves."""
        return hash(text.strip()) in self._own

    def _note_own(self, text: str) -> None:
        self._own.append(hash(text.strip()))

    def _address(self, peer: str) -> wire.Address:
        known = next((user for user, of in self._company.aliases.items() if of == peer), "") if peer == ANYBODY else peer
        return wire.Address(known, self._user if self._company.form.names_itself else "")

    async def send_offer(self, peer: str, sdp: str) -> None:
        callee = self._company.callee(peer)
        callee.offer, callee.offered_at, callee.times = sdp, time.monotonic(), 0
        self._note_own(sdp)
        await self.say_offer(callee)

    async def say_offer(self, callee: Callee) -> None:
        """Say the offer to that viewer, for the first time or again."""
        known = {"auto": self._company.form.sdp_is_object, "string": False, "object": True}[self._settings.sdp]
        # Nobody has shown yet which way of writing it understands: then each in turn.
        as_object = callee.times % 2 == 1 if known is None else known
        callee.said_at = time.monotonic()
        callee.times += 1
        await self._connection.send(
            wire.encode_description("offer", callee.offer, self._address(callee.id), as_object=as_object)
        )

    async def send_answer(self, peer: str, sdp: str) -> None:
        self._note_own(sdp)
        as_object = {"auto": bool(self._company.form.sdp_is_object), "string": False, "object": True}[self._settings.sdp]
        await self._connection.send(wire.encode_description("answer", sdp, self._address(peer), as_object=as_object))

    async def send_candidate(self, peer: str, candidate: Candidate) -> None:
        self._note_own(candidate.candidate)
        await self._connection.send(wire.encode_candidate(candidate, self._address(peer), self._company.form))

    async def send_error(self, peer: str, error: EdgecamError) -> None:
        await self._connection.send(wire.encode_error(str(error), error.code, self._address(peer)))


class Calls:
    """The camera's calls in one room, over one connection. `user`: its own name there."""

    def __init__(
        self, via: str, camera: str, company: Company, speech: Speech, exchange: Exchange, sessions: Sessions, user: str
    ) -> None:
        self._via = via
        self._camera = camera
        self._company = company
        self._speech = speech
        self._exchange = exchange
        self._sessions = sessions
        self._user = user
        self._entered_at = time.monotonic()
        self._tells_who_comes = False
        self._own_id = ""

    async def run(self) -> None:
        """Call until cancelled. Raises SignalingError when the connection is gone."""
        await asyncio.sleep(ENTERING)
        while True:
            for callee in list(self._company.callees.values()):
                if callee.id != ANYBODY:
                    await self._tend(callee)
            if self._calls_anybody():
                await self._tend(self._company.callee(ANYBODY))
            await asyncio.sleep(CALL_AGAIN)

    def _key(self, peer: str) -> PeerKey:
        return PeerKey(self._via, self._camera, peer)

    def _calls_anybody(self) -> bool:
        """While nobody watches or is being called; where the server tells who comes, only for those who came before us."""
        if self._tells_who_comes and time.monotonic() - self._entered_at > BLIND_SPELL:
            return False
        now = time.monotonic()
        others = [callee for callee in self._company.callees.values() if callee.id != ANYBODY]
        return not any(
            callee.offer or now - callee.heard_at < CALL_AGAIN or self._sessions.knows(self._key(callee.id)) for callee in others
        )

    async def _tend(self, callee: Callee) -> None:
        now = time.monotonic()
        known = self._sessions.knows(self._key(callee.id))
        if now - callee.negotiated_at < NEGOTIATING:
            return
        if known and callee.offer and now - callee.offered_at < STALE:
            if now - callee.said_at >= CALL_AGAIN / 2:
                await self._speech.say_offer(callee)
        elif known and not callee.offer:
            callee.heard_at = now  # it watches, or is being connected
        elif callee.id == ANYBODY or (callee.noticed and now - callee.heard_at < TIRELESS):
            callee.offer = ""
            self._exchange.receive(callee.id, Joined())
        else:
            self._company.callees.pop(callee.id, None)

    # what is heard

    def take(self, heard: wire.Heard) -> None:
        """What somebody in the room, or the server, has said. Returns at once."""
        if self._is_ours(heard) or (heard.to in self._company.callees and heard.to not in {self._user, self._own_id}):
            return
        if heard.form is not None:
            self._company.form = wire.merged(self._company.form, heard.form)
        match heard.said:
            case wire.Offer(sdp):
                self._take_offer(self._whose(heard), sdp)
            case wire.Answer(sdp):
                self._take_answer(heard, sdp)
            case wire.IceCandidate(candidate):
                self._take_candidate(self._whose(heard), candidate)
            case wire.Entered(user):
                self._entered(user or heard.sender)
            case wire.Present(users):
                for user in users:
                    self._entered(user)
            case wire.Gone(user):
                self._left(user or heard.sender)
            case wire.HangUp():
                peer = self._whose(heard)
                self._company.callees.pop(peer, None)
                self._exchange.receive(peer, HungUp())
            case wire.IceServers(servers):
                self._exchange.ice_servers = servers or self._exchange.ice_servers
            case _:
                log.debug("message.ignored", via=self._via, camera=self._camera, message=type(heard.said).__name__)

    def _is_ours(self, heard: wire.Heard) -> bool:
        """Some relays send everybody what anybody says, its author too."""
        match heard.said:
            case wire.Offer(sdp) | wire.Answer(sdp):
                own = self._speech.is_own(sdp)
            case wire.IceCandidate(candidate):
                own = candidate is not None and self._speech.is_own(candidate.candidate)
            case _:
                own = False
        if own and heard.sender and not self._user:
            self._own_id = heard.sender
            self._company.callees.pop(heard.sender, None)
        return own or (bool(heard.sender) and heard.sender in {self._user, self._own_id})

    def _whose(self, heard: wire.Heard) -> str:
        return self._company.aliases.get(heard.sender, heard.sender) or ANYBODY

    def _take_offer(self, peer: str, sdp: str) -> None:
        now = time.monotonic()
        callee = self._company.callee(peer)
        callee.heard_at = callee.negotiated_at = now
        callee.offer = ""
        self._exchange.receive(peer, RemoteOffer(sdp))
        self._release(callee)

    def _take_answer(self, heard: wire.Heard, sdp: str) -> None:
        now = time.monotonic()
        peer = self._whose(heard)
        callee, anybody = self._company.callees.get(peer), self._company.callees.get(ANYBODY)
        if (callee is None or not callee.offer) and anybody is not None and anybody.offer:
            self._company.aliases = {heard.sender: ANYBODY}  # who answers a call to anybody is the one it was for
            early = callee.held if callee is not None else ()
            self._company.callees.pop(peer, None)
            anybody.held.extend(early)
            peer, callee = ANYBODY, anybody
        callee = callee or self._company.callee(peer)
        callee.heard_at = callee.negotiated_at = now
        if callee.offer:
            callee.offer = ""
            self._exchange.receive(peer, RemoteAnswer(sdp))
            self._release(callee)
        elif self._sessions.knows(self._key(peer)):
            self._exchange.receive(peer, RemoteAnswer(sdp))  # a repeated one, or our offers have crossed
        else:
            self._exchange.receive(peer, Joined())  # the answer to a call that another has taken, or that is over

    def _take_candidate(self, peer: str, candidate: Candidate | None) -> None:
        callee = self._company.callees.get(peer)
        if callee is None and peer != ANYBODY:
            callee = self._company.callee(peer)
        if callee is not None and (callee.offer or not self._sessions.knows(self._key(peer))):
            callee.held.append(candidate)  # it is not known yet whether they belong to an answer or to an offer
        else:
            self._exchange.receive(peer, RemoteCandidate(candidate))

    def _release(self, callee: Callee) -> None:
        for candidate in callee.held:
            self._exchange.receive(callee.id, RemoteCandidate(candidate))
        callee.held.clear()

    def _entered(self, user: str) -> None:
        if user and user in {self._user, self._own_id}:
            return
        now = time.monotonic()
        self._tells_who_comes = True
        peer = self._company.aliases.get(user, user) or ANYBODY
        callee = self._company.callee(peer)
        callee.heard_at = callee.negotiated_at = now
        callee.noticed, callee.offer = True, ""
        # A viewer that comes again has been reloaded, though its old session lives on for some seconds. But when the
        # camera has come back itself, the server was away, and who was there before has perhaps never stopped watching.
        returning = peer in self._company.expected
        self._company.expected.discard(peer)
        self._exchange.receive(peer, Joined(offers=True, returning=returning, patience=NOTICED))

    def _left(self, user: str) -> None:
        peer = self._company.aliases.pop(user, user) or ANYBODY
        self._company.callees.pop(peer, None)
        self._exchange.receive(peer, Left())
