"""What is said with people over one connection of the `socketio-call` dialect; docs/signaling-socketio-call.md has the messages."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Protocol

import structlog

from edgecam.errors import EdgecamError, SignalingError
from edgecam.peers import Candidate, Ended, PeerKey, Sessions
from edgecam.signaling import exchange, fields
from edgecam.signaling.calls import Call, Calls, CallState
from edgecam.signaling.exchange import Exchange, HungUp, Left, Line, RemoteAnswer, RemoteCandidate, RemoteOffer
from edgecam.signaling.ownership import CandidateOwnership, ufrag_of, ufrags
from edgecam.signaling.repeats import Repeats
from edgecam.signaling.socketio_client import SocketioConnection

log = structlog.get_logger(__name__)

MAX_REFUSED = 100  # people who may not call, of whom it is known when they were told
REFUSE_AGAIN = 1.0  # seconds after which one of them is told again
EVENTS = frozenset({"call.invite", "call.offer", "call.answer", "call.ice", "call.end"})


class WatchedSessions(Sessions, Protocol):
    """Sessions whose end can be waited for."""

    async def ended(self, key: PeerKey) -> Ended:
        """Wait until that session is over."""


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A camera among people: its account, who may call it (patterns of addresses), and its calls, which outlive connections."""

    via: str
    camera: str
    title: str
    email: str
    callers: tuple[str, ...]
    sessions: WatchedSessions
    calls: Calls = field(default_factory=Calls)

    def may_call(self, person: str) -> bool:
        """Whether the camera answers that person (an address in lower case)."""
        return any(fnmatchcase(person, pattern.lower()) for pattern in self.callers)

    def key(self, person: str) -> PeerKey:
        return PeerKey(self.via, self.camera, person)


class Conversation:
    """What is said over one connection. Implements `exchange.Outgoing`; peers are e-mail addresses in lower case."""

    def __init__(self, account: Subscriber, connection: SocketioConnection, group: asyncio.TaskGroup, line: Line) -> None:
        self.connection = connection
        self.renewed = False  # whether the camera has had to log in again over this connection
        self.exchange = Exchange(account.via, account.camera, account.sessions, self, group, line, recalls=False)
        self._account = account
        self._calls = account.calls
        self._group = group
        self._log = log.bind(via=account.via, camera=account.camera)
        self._repeats = Repeats()
        self._ownership = CandidateOwnership()
        self._refused: OrderedDict[str, float] = OrderedDict()

    # what comes

    def take(self, event: str, body: dict[str, Any], arguments: tuple[Any, ...]) -> None:
        """Work off one event. Raises WireError."""
        if event == "user_offline":
            self._offline(_address(body, "email", "user", "from") or _text(arguments))
            return
        if event not in EVENTS:
            self._log.debug("message.ignored", message=event[:40])
            return
        address = _address(body, "from", "from_email", "sender")
        person = address.lower()
        if not person or person == self._account.email.lower():
            raise fields.WireError("it does not say from whom it is")
        if self._repeats.is_repeat(event, body):
            return
        if not self._welcome(person):
            if event in {"call.invite", "call.offer"}:
                self._refuse(person, address, body)
            return
        match event:
            case "call.invite":
                self._calls.note_conversation(person, body.get("conversation_id"))
            case "call.offer":
                self._offered(person, address, body)
            case "call.answer":
                self._answered(person, body)
            case "call.ice":
                self._candidate(person, body)
            case "call.end":
                self._ended(person, body)

    def _welcome(self, person: str) -> bool:
        """Whether that person may say something: those who may call, and those whom the camera calls."""
        call = self._calls.of(person)
        return self._account.may_call(person) or (call is not None and call.outgoing)

    def _refuse(self, person: str, address: str, body: Mapping[str, Any]) -> None:
        now = time.monotonic()
        if now - self._refused.pop(person, 0.0) > REFUSE_AGAIN:
            self._log.info("call.refused", caller=address, reason="not in callers")
            stranger = Call(person, address, body.get("conversation_id"), reason="this camera does not take calls from you")
            self._group.create_task(say_end(self.connection, stranger), name=f"{self._account.via}.refuse")
        self._refused[person] = now
        if len(self._refused) > MAX_REFUSED:
            self._refused.popitem(last=False)

    def _offered(self, person: str, address: str, body: Mapping[str, Any]) -> None:
        sdp = fields.sdp(body)
        call = self._calls.of(person)
        if call is None or call.offer != sdp:
            self._calls.note_conversation(person, body.get("conversation_id"))
            self._calls.begin(Call(person, address, body.get("conversation_id"), offer=sdp))
        self.exchange.receive(person, RemoteOffer(sdp))
        self._release(person, sdp)

    def _answered(self, person: str, body: Mapping[str, Any]) -> None:
        sdp = fields.sdp(body)
        call = self._calls.of(person)
        if call is None or not call.outgoing:
            return
        self.exchange.receive(person, RemoteAnswer(sdp))
        self._release(person, sdp)
        if call.ringing:
            call.state = CallState.ANSWERED
            self._log.info("call.answered", by=call.address)
            for candidate in call.late:
                self.exchange.receive(person, exchange.LocalCandidate(candidate))

    def _release(self, person: str, sdp: str) -> None:
        for candidate in self._ownership.described(person, sdp):
            self.exchange.receive(person, RemoteCandidate(candidate))

    def _candidate(self, person: str, body: Mapping[str, Any]) -> None:
        candidate = fields.candidate(body)
        if candidate is None or self._ownership.due(person, ufrag_of(body, candidate), candidate):
            self.exchange.receive(person, RemoteCandidate(candidate))

    def _ended(self, person: str, body: Mapping[str, Any]) -> None:
        call = self._calls.of(person)
        meant = body.get("conversation_id")
        if call is None or (meant is not None and call.conversation is not None and meant != call.conversation):
            return
        reason = fields.line(body, "reason", limit=200) or "they hung up"
        self._calls.end(call, reason)
        self._ownership.forget(person)
        self.exchange.receive(person, HungUp())
        self._log.info("call.ended", by=call.address, reason=reason)

    def _offline(self, address: str) -> None:
        """Closing a tab says no more than this. It is no end of a call that is connected: the socket is gone, not the person."""
        if self._calls.of(address.lower()) is not None:
            self.exchange.receive(address.lower(), Left())

    # what goes out

    async def invite(self, call: Call) -> None:
        """Have their telephone ring."""
        meta = {"name": self._account.title, "video": True, "audio": False}
        await self.connection.emit("call.invite", {"to": call.address, **_belonging(call), "meta": meta})

    async def send_offer(self, peer: str, sdp: str) -> None:
        await self._describe("call.offer", "offer", peer, sdp)

    async def send_answer(self, peer: str, sdp: str) -> None:
        await self._describe("call.answer", "answer", peer, sdp)

    async def _describe(self, event: str, kind: str, peer: str, sdp: str) -> None:
        call = self._calls.of(peer)
        if call is None:  # they hung up meanwhile
            return
        call.ufrag = next(iter(ufrags(sdp)), "")
        await self.connection.emit(event, {"to": call.address, "sdp": {"type": kind, "sdp": sdp}, **_belonging(call)})
        self._watch(call)

    async def send_candidate(self, peer: str, candidate: Candidate) -> None:
        call = self._calls.of(peer)
        if call is None:
            return
        if call.ringing:  # what comes before somebody has answered is thrown away over there
            call.late.append(candidate)
            return
        line = {
            "candidate": candidate.candidate,
            "sdpMid": candidate.sdp_mid,
            "sdpMLineIndex": candidate.sdp_mline_index,
            "usernameFragment": call.ufrag or None,
        }
        await self.connection.emit("call.ice", {"to": call.address, "candidate": line, **_belonging(call)})

    async def send_error(self, peer: str, error: EdgecamError) -> None:
        call = self._calls.of(peer)
        if call is not None and self._calls.end(call, str(error)):
            await say_end(self.connection, call)

    # how calls end by themselves

    def watch_all(self) -> None:
        """Calls outlive connections: those that go on are watched over this one now."""
        for call in self._calls:
            self._watch(call)

    def _watch(self, call: Call) -> None:
        self._group.create_task(self._until_over(call), name=f"{self._account.via}.{self._account.camera}.call")

    async def _until_over(self, call: Call) -> None:
        ended = await self._account.sessions.ended(self._account.key(call.person))
        reason = "nobody answered" if call.ringing else ended.reason
        if self._calls.end(call, reason):
            self._log.info("call.ended", to=call.address, reason=reason)
            await say_end(self.connection, call)


async def say_end(connection: SocketioConnection, call: Call) -> None:
    """Tell the other side that a call is over."""
    await connection.emit("call.end", {"to": call.address, **_belonging(call), "reason": call.reason})


async def hang_up_all(connection: SocketioConnection, calls: Calls, reason: str) -> None:
    """End every call, and see that the words are out before the connection is closed."""
    with suppress(SignalingError):
        for call in calls:
            calls.end(call, reason)
            await say_end(connection, call)
        await connection.flush()


def _belonging(call: Call) -> dict[str, Any]:
    return {} if call.conversation is None else {"conversation_id": call.conversation}


def _address(body: Mapping[str, Any], *names: str) -> str:
    """The first e-mail address under these names, as text or as `{email}`."""
    for name in names:
        value = body.get(name)
        value = value.get("email") if isinstance(value, Mapping) else value
        if isinstance(value, str) and 0 < len(value) <= 200:
            return value.strip()
    return ""


def _text(arguments: tuple[Any, ...]) -> str:
    return arguments[0] if arguments and isinstance(arguments[0], str) else ""
