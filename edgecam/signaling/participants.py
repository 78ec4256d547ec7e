"""What is said with the others in a room over one connection of the `socketio-room` dialect.

docs/signaling-socketio-room.md has the messages. Peers are the ids of sockets.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from edgecam.errors import EdgecamError, ViewerRefusedError
from edgecam.health import Component
from edgecam.peers import Candidate, PeerKey
from edgecam.signaling import fields
from edgecam.signaling.conversation import WatchedSessions
from edgecam.signaling.exchange import Exchange, Joined, Left, Line, RemoteAnswer, RemoteCandidate, RemoteOffer
from edgecam.signaling.ownership import CandidateOwnership, ufrag_of, ufrags
from edgecam.signaling.repeats import Repeats
from edgecam.signaling.socketio_client import SocketioConnection, ToldErrors, body_of

log = structlog.get_logger(__name__)

PATIENCE = 2.0  # seconds in which a participant may offer before the camera does
RETRIES = (2.0, 4.0, 8.0, 15.0, 15.0, 15.0)  # seconds before an offer to a participant with whom no session came about, or lasted
SETTLED = 30.0  # seconds of a session after which the retries begin anew
FORGET = 0.05  # seconds between two looks whether a session that has ended is forgotten
MAX_PARTICIPANTS = 256  # that are kept track of
MAX_ID = 128  # characters


@dataclass(slots=True)
class _Participant:
    """Somebody in the room. `watched`: the end of its session is waited for. `ufrag`: of our last description."""

    watched: bool = False
    retries: int = 0
    ufrag: str = ""


@dataclass(frozen=True, slots=True)
class Seat:
    """A camera in a room. `ours`: ids of the sockets of the section's cameras, which do not watch each other. `told`: what errors
    the server has sent to any of them."""

    via: str
    camera: str
    room: str
    user_name: str
    sessions: WatchedSessions
    picture: Component
    ours: set[str] = field(default_factory=set)
    told: ToldErrors = field(default_factory=ToldErrors)

    def key(self, peer: str) -> PeerKey:
        return PeerKey(self.via, self.camera, peer)


class Room:
    """What is said in the room over one connection. Implements `exchange.Outgoing`."""

    def __init__(self, seat: Seat, connection: SocketioConnection, group: asyncio.TaskGroup, line: Line) -> None:
        self.connection = connection
        self.exchange = Exchange(seat.via, seat.camera, seat.sessions, self, group, line)
        self._seat = seat
        self._line = line
        self._group = group
        self._participants: dict[str, _Participant] = {}
        self._repeats = Repeats()
        self._ownership = CandidateOwnership()
        self._log = log.bind(via=seat.via, camera=seat.camera)

    # what comes

    def take(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Work off one event. Raises WireError."""
        body = body_of(arguments)
        match event:
            case "participants-list" | "room-users":
                self._listed(arguments)
            case "user-joined" | "participant-joined":
                if (peer := _id_in(arguments)) and not self._repeats.is_repeat("joined", peer):
                    self._joined(peer)
            case "user-left" | "participant-left":
                self._left(_id_in(arguments))
            case "offer" | "answer" | "ice-candidate":
                self._spoken(event, body)
            case _:  # chat, screen sharing, other people's media state
                self._log.debug("message.ignored", message=event[:40])

    def _listed(self, arguments: tuple[Any, ...]) -> None:
        """Who was here before us. The list may hold ourselves, and come again."""
        listed = arguments[0] if arguments else None
        if isinstance(listed, Mapping):
            listed = listed.get("participants") or listed.get("users")
        for entry in listed[:MAX_PARTICIPANTS] if isinstance(listed, list) else ():
            peer = _id_in((entry,))
            if peer and peer not in self._participants:
                self._joined(peer)

    def _is_me(self, peer: str) -> bool:
        return peer == self.connection.sid or peer in self._seat.ours

    def _joined(self, peer: str) -> None:
        if self._is_me(peer) or self._participant(peer) is None:
            return
        self.exchange.receive(peer, Joined(offers=True, patience=PATIENCE))

    def _participant(self, peer: str) -> _Participant | None:
        if peer not in self._participants and len(self._participants) >= MAX_PARTICIPANTS:
            return None
        return self._participants.setdefault(peer, _Participant())

    def _left(self, peer: str) -> None:
        if self._participants.pop(peer, None) is not None:
            self._ownership.forget(peer)
            self.exchange.receive(peer, Left())

    def _spoken(self, event: str, body: dict[str, Any]) -> None:
        peer, target = _id(body.get("fromId") or body.get("from")), _id(body.get("targetId"))
        if not peer or self._is_me(peer) or (target and target != self.connection.sid):
            return  # some servers tell it to everybody, the sender too
        if self._participant(peer) is None or self._repeats.is_repeat(event, body):
            return
        match event:
            case "offer":
                self.exchange.receive(peer, RemoteOffer(sdp := fields.sdp(body)))
                self._release(peer, sdp)
            case "answer":
                self.exchange.receive(peer, RemoteAnswer(sdp := fields.sdp(body)))
                self._release(peer, sdp)
            case _:
                candidate = fields.candidate(body)
                if candidate is None or self._ownership.due(peer, ufrag_of(body, candidate), candidate):
                    self.exchange.receive(peer, RemoteCandidate(candidate))

    def _release(self, peer: str, sdp: str) -> None:
        for candidate in self._ownership.described(peer, sdp):
            self.exchange.receive(peer, RemoteCandidate(candidate))

    # what goes out

    async def join(self) -> None:
        """Enter, and ask who is there: some servers say so only then."""
        seat = self._seat
        await self.connection.emit(
            "join-room", {"roomId": seat.room, "userName": seat.user_name, "socketId": self.connection.sid}
        )
        await self.connection.emit("get-users", {"roomId": seat.room})

    async def say_media_state(self, *, video_off: bool) -> None:
        """Whether there are pictures; a camera has no sound."""
        now = int(time.time() * 1000)  # milliseconds since the epoch, as Date.now() has them
        state = {"socketId": self.connection.sid, "isMuted": True, "isVideoOff": video_off, "timestamp": now}
        await self.connection.emit("media-state-change", state)

    async def send_offer(self, peer: str, sdp: str) -> None:
        await self._describe("offer", peer, sdp)

    async def send_answer(self, peer: str, sdp: str) -> None:
        await self._describe("answer", peer, sdp)

    async def _describe(self, kind: str, peer: str, sdp: str) -> None:
        participant = self._participants.get(peer)
        if participant is None:
            return
        participant.ufrag = next(iter(ufrags(sdp)), "")
        await self.connection.emit(kind, {**self._to(peer), "sdp": {"type": kind, "sdp": sdp}})
        if not participant.watched:
            participant.watched = True
            watching = self._until_over(peer, participant)
            self._group.create_task(watching, name=f"{self._seat.via}.{self._seat.camera}.watch")

    async def send_candidate(self, peer: str, candidate: Candidate) -> None:
        participant = self._participants.get(peer)
        line = {
            "candidate": candidate.candidate,
            "sdpMid": candidate.sdp_mid,
            "sdpMLineIndex": candidate.sdp_mline_index,
            "usernameFragment": (participant.ufrag if participant is not None else "") or None,
        }
        await self.connection.emit("ice-candidate", {**self._to(peer), "candidate": line})

    async def send_error(self, peer: str, error: EdgecamError) -> None:
        """There is no message for this; whoever found no place is called again."""
        participant = self._participants.get(peer)
        if participant is not None and isinstance(error, ViewerRefusedError):
            self._again(peer, participant)

    def _to(self, peer: str) -> dict[str, object]:
        return {"roomId": self._seat.room, "targetId": peer}

    # when a session ends and its participant stays

    async def _until_over(self, peer: str, participant: _Participant) -> None:
        began, key = time.monotonic(), self._seat.key(peer)
        while True:
            await self._seat.sessions.ended(key)
            if not self._seat.sessions.knows(key):
                break
            await asyncio.sleep(FORGET)  # it is on its way out, or another one has taken its place
        participant.watched = False
        if time.monotonic() - began > SETTLED:
            participant.retries = 0
        self._again(peer, participant)

    def _again(self, peer: str, participant: _Participant) -> None:
        if self._participants.get(peer) is participant and participant.retries < len(RETRIES):
            patience = RETRIES[participant.retries]
            participant.retries += 1
            self._line.said.left(peer)  # this is no repetition
            self._log.debug("viewer.again", peer=peer[:6], seconds=patience)
            self.exchange.receive(peer, Joined(offers=True, patience=patience))


def _id(value: Any) -> str:
    return value if isinstance(value, str) and 0 < len(value) <= MAX_ID else ""


def _id_in(arguments: tuple[Any, ...]) -> str:
    """The socket's id in a notice: bare, or in an object."""
    said = arguments[0] if arguments else None
    if isinstance(said, Mapping):
        return next((peer for name in ("socketId", "id", "userId", "fromId") if (peer := _id(said.get(name)))), "")
    return _id(said)
