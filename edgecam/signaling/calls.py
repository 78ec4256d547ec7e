"""Calls between a camera and people, who are known by e-mail address: which there are, and what became of them."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from edgecam.peers import Candidate

MAX_LATE = 64  # candidates kept for somebody who has not answered
MAX_ENDED = 32  # calls that are over and can still be asked for


class CallState(StrEnum):
    """What a call is doing."""

    RINGING = "ringing"  # the camera's offer is on its way, or waits for a person
    ANSWERED = "answered"
    ENDED = "ended"


@dataclass(slots=True)
class Call:
    """One call with `person` (in lower case; `address` is how they write it). `conversation` is the server's word for what
    belongs together, and is handed back as it came."""

    person: str
    address: str
    conversation: Any = None
    outgoing: bool = False
    offer: str = ""  # the person's
    ufrag: str = ""  # of our description
    state: CallState = CallState.ANSWERED
    reason: str = ""
    late: deque[Candidate] = field(default_factory=lambda: deque(maxlen=MAX_LATE))
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    began: float = field(default_factory=time.monotonic)

    @property
    def ringing(self) -> bool:
        return self.state is CallState.RINGING

    def as_dict(self) -> dict[str, Any]:
        """For the HTTP API."""
        seconds = round(time.monotonic() - self.began, 1)
        return {"id": self.id, "to": self.address, "state": str(self.state), "reason": self.reason, "seconds": seconds}


class Calls:
    """One call per person; the newest counts."""

    def __init__(self) -> None:
        self._current: dict[str, Call] = {}
        self._ended: OrderedDict[str, Call] = OrderedDict()
        self._conversations: OrderedDict[str, Any] = OrderedDict()

    def __iter__(self) -> Iterator[Call]:
        return iter(list(self._current.values()))

    def of(self, person: str) -> Call | None:
        return self._current.get(person)

    def begin(self, call: Call) -> None:
        """The call takes the place of an earlier one with this person."""
        before = self._current.get(call.person)
        if before is not None:
            self.end(before, "another call took its place")
        if call.conversation is None:
            call.conversation = self._conversations.get(call.person)
        self._current[call.person] = call

    def end(self, call: Call, reason: str) -> bool:
        """The call is over; False when it was before."""
        if self._current.get(call.person) is not call:
            return False
        del self._current[call.person]
        call.state, call.reason = CallState.ENDED, reason
        call.late.clear()
        if call.outgoing:
            self._ended[call.id] = call
            if len(self._ended) > MAX_ENDED:
                self._ended.popitem(last=False)
        return True

    def named(self, identity: str) -> Call | None:
        """The call of that id, which the camera made; those that ended not long ago too."""
        current = next((call for call in self._current.values() if call.id == identity and call.outgoing), None)
        return current or self._ended.get(identity)

    def note_conversation(self, person: str, conversation: Any) -> None:
        """What a person's invitation says that the call will belong to."""
        if conversation is None:
            return
        self._conversations[person] = conversation
        self._conversations.move_to_end(person)
        if len(self._conversations) > MAX_ENDED:
            self._conversations.popitem(last=False)

    def conversation_with(self, person: str) -> Any:
        return self._conversations.get(person)


class Caller(Protocol):
    """A camera that can call people."""

    async def call(self, to: str, conversation: Any = None) -> Call:
        """Call a person. Returns at once, the call says what becomes of it. Raises EdgecamError."""

    async def hang_up(self, call: Call) -> None:
        """End a call that the camera made. Raises SignalingError."""

    def named(self, identity: str) -> Call | None:
        """The call of that id, None when there is none."""


@runtime_checkable
class Calling(Protocol):
    """A dialect on which cameras can call people; `callers` by camera."""

    @property
    def callers(self) -> Mapping[str, Caller]:
        """The cameras that there are now."""
