"""The messages of the `rooms` dialect: what browsers say to each other over a relay that does not look inside.

Such pages agree on offers, answers and candidates, and on little else. So what is read may be written in many ways, and
what is sent follows the way in which the viewers write.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from edgecam.peers import Candidate
from edgecam.settings import IceServer
from edgecam.signaling import fields
from edgecam.signaling.fields import WireError

MAX_NAME_CHARS = 128
MAX_USERS = 64  # of a list of those who are in the room
MAX_DEPTH = 3  # wrappers around a message, or around a description in it

Wrapper = Literal["auto", "on", "off"]


@dataclass(frozen=True, slots=True)
class Form:
    """How the viewers write. `sdp_is_object`: None as long as that is not known."""

    sdp_is_object: bool | None = None
    candidate_type: str = "ice-candidate"
    names_itself: bool = False  # messages say themselves whom they are from


@dataclass(frozen=True, slots=True)
class Offer:
    sdp: str


@dataclass(frozen=True, slots=True)
class Answer:
    sdp: str


@dataclass(frozen=True, slots=True)
class IceCandidate:
    candidate: Candidate | None


@dataclass(frozen=True, slots=True)
class Entered:
    """Somebody has come; `user` is empty when the notice does not say who."""

    user: str


@dataclass(frozen=True, slots=True)
class Gone:
    """Somebody has left."""

    user: str


@dataclass(frozen=True, slots=True)
class Present:
    """Who is in the room, perhaps with ourselves. `ice_servers`: what some servers add to it."""

    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IceServers:
    """STUN and TURN servers to use."""

    servers: tuple[IceServer, ...]


@dataclass(frozen=True, slots=True)
class HangUp:
    """The viewer ends the call."""


@dataclass(frozen=True, slots=True)
class Error:
    """What the server complains about, one line for people."""

    message: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something that cameras have no use for."""


Said = Offer | Answer | IceCandidate | Entered | Gone | Present | IceServers | HangUp | Error | Unknown


@dataclass(frozen=True, slots=True)
class Heard:
    """A message out of the room. `sender` and `to` are empty where it does not say; `form`: how a viewer wrote it."""

    said: Said
    sender: str = ""
    to: str = ""
    form: Form | None = None


_OFFER = {"offer", "sdpoffer", "webrtcoffer"}
_ANSWER = {"answer", "sdpanswer", "webrtcanswer"}
_CANDIDATE = {"icecandidate", "candidate", "ice", "newicecandidate", "trickle", "webrtcicecandidate"}
_ENTERED = {
    "userjoined", "peerjoined", "participantjoined", "memberjoined", "clientjoined", "newuser", "newpeer", "newparticipant",
    "userconnected", "peerconnected", "join", "ready",
}  # fmt: skip
_GONE = {
    "userleft", "peerleft", "participantleft", "memberleft", "clientleft", "userdisconnected", "peerdisconnected", "leave", "left",
}  # fmt: skip
_PRESENT = {"participants", "participantslist", "users", "userlist", "roomusers", "existingusers", "peers", "members", "roomstate"}
_HANG_UP = {"bye", "hangup", "callend", "endcall", "callended"}
_ICE_SERVERS = {"turnconfig", "iceservers", "iceconfig"}
_INSIDE = ("data", "payload", "message", "msg", "signal", "body")
_SENDER = ("from", "sender", "senderId", "sender_id", "fromId", "from_id", "fromUser", "userId", "user_id", "peerId", "peer_id", "clientId")
_TO = ("to", "target", "targetId", "target_id", "recipient", "toId")
_WHO = (
    "user", "user_id", "userId", "username", "userName", "peer", "peer_id", "peerId", "participant", "client_id", "clientId",
    "socketId", "member", "id", "from", "sender", "name",
)  # fmt: skip


def decode(text: str, wrapper: Wrapper = "auto") -> Heard:
    """The message in a text frame. Raises WireError with one line of reason; never anything else."""
    body = fields.parse_object(text)
    sender, to = _name(body, _SENDER), _name(body, _TO)
    wrapped = False
    for _ in range(MAX_DEPTH):
        inner = _inner(body) if wrapper == "on" or (wrapper == "auto" and not _speaks(body)) else None
        if inner is None or (wrapper == "on" and wrapped):
            break
        body, wrapped = inner, True
        sender, to = sender or _name(body, _SENDER), to or _name(body, _TO)
    said = _said(body)
    if not isinstance(said, Offer | Answer | IceCandidate):
        return Heard(said, sender, to)
    form = Form(_sdp_is_object(body, said), _candidate_type(body, said), names_itself=bool(sender) and not wrapped)
    return Heard(said, sender, to, form)


def _kind(body: Mapping[str, object]) -> str:
    for name in ("type", "event", "kind", "action"):
        value = body.get(name)
        if isinstance(value, str) and 0 < len(value) <= 64:
            return "".join(letter for letter in value.lower() if letter.isalnum())
    return ""


def _speaks(body: Mapping[str, object]) -> bool:
    """Whether this object is itself a message, and not only what a relay has put around one."""
    kind = _kind(body)
    known = _OFFER | _ANSWER | _CANDIDATE | _ENTERED | _GONE | _PRESENT | _HANG_UP | _ICE_SERVERS | {"error"}
    return kind in known or (not kind and any(key in body for key in ("sdp", "offer", "answer", "candidate", "ice")))


def _inner(body: Mapping[str, object]) -> dict[str, object] | None:
    """What a relay has wrapped: an object, or one as text."""
    for name in _INSIDE:
        value = body.get(name)
        if isinstance(value, str) and value.lstrip().startswith("{"):
            value = fields.parse_object(value)
        if isinstance(value, dict):
            return value
    return None


def _said(body: Mapping[str, object]) -> Said:
    kind = _kind(body)
    if kind in _OFFER | _ANSWER:
        sdp = _sdp(body, "offer" if kind in _OFFER else "answer")
        return Offer(sdp) if kind in _OFFER else Answer(sdp)
    if kind in _CANDIDATE:
        return IceCandidate(_candidate(body))
    if kind in _ENTERED:
        return Entered(_who(body))
    if kind in _GONE:
        return Gone(_who(body))
    if kind in _PRESENT:
        return Present(_users(body))
    if kind in _ICE_SERVERS:
        return IceServers(fields.ice_servers_from(next((body[key] for key in ("config", "turnConfig") if key in body), body)))
    if kind in _HANG_UP:
        return HangUp()
    if kind == "error":
        return Error(fields.line(body, "message", limit=200) or fields.line(body, "detail", limit=200) or "no reason given")
    return _untyped(body) if not kind else Unknown()


def _untyped(body: Mapping[str, object]) -> Said:
    """Pages that send a description or a candidate as it is, and nothing around it."""
    description = body.get("sdp")
    if isinstance(description, dict):
        return _said({"type": _kind(description), "sdp": description}) if _kind(description) in {"offer", "answer"} else Unknown()
    for key, kind in (("offer", Offer), ("answer", Answer)):
        if key in body:
            return kind(_sdp(body, key))
    return IceCandidate(_candidate(body)) if "candidate" in body or "ice" in body else Unknown()


def _sdp(body: Mapping[str, object], kind: str) -> str:
    places = ("sdp", kind, "description", *_INSIDE)
    value: object = next((body[place] for place in places if body.get(place)), None)
    for _ in range(MAX_DEPTH):
        if isinstance(value, dict):
            value = value.get("sdp") or value.get(kind)
    return fields.sdp({"sdp": value})


def _candidate(body: Mapping[str, object]) -> Candidate | None:
    value = next((body[place] for place in ("candidate", "ice", *_INSIDE) if place in body), None)
    if isinstance(value, str) and "candidate" in body:
        return fields.candidate(body)  # sdpMid and sdpMLineIndex stand beside it
    if isinstance(value, dict) and isinstance(value.get("candidate"), dict):
        value = value["candidate"]
    return fields.candidate({"candidate": value})


def _name(body: Mapping[str, object], places: Sequence[str]) -> str:
    """A user's id or name, empty where there is none that can be used."""
    for place in places:
        value = body.get(place)
        if isinstance(value, dict):
            value = next((value[key] for key in ("id", "user_id", "userId", "name", "username") if key in value), None)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and value:
            return fields.line({"name": value}, "name", limit=MAX_NAME_CHARS)
    return ""


def _who(body: Mapping[str, object]) -> str:
    """Whom a notice is about, wherever it says so."""
    inner = _inner(body)
    return _name(body, _WHO) or (_name(inner, _WHO) if inner is not None else "")


def _users(body: Mapping[str, object]) -> tuple[str, ...]:
    listed = next((value for value in body.values() if isinstance(value, list)), [])
    found = (_name({"id": entry}, ("id",)) for entry in listed[:MAX_USERS])
    return tuple(name for name in found if name)


def _sdp_is_object(body: Mapping[str, object], said: Said) -> bool | None:
    return isinstance(body.get("sdp"), dict) if not isinstance(said, IceCandidate) and "sdp" in body else None


def _candidate_type(body: Mapping[str, object], said: Said) -> str:
    kind = body.get("type")
    return kind if isinstance(said, IceCandidate) and isinstance(kind, str) else ""


def merged(known: Form, seen: Form) -> Form:
    """What is known of how the viewers write, after one more message."""
    known = replace(known, names_itself=known.names_itself or seen.names_itself)
    if seen.sdp_is_object is not None:
        known = replace(known, sdp_is_object=seen.sdp_is_object)
    return replace(known, candidate_type=seen.candidate_type) if seen.candidate_type else known


@dataclass(frozen=True, slots=True)
class Address:
    """Whom a message is for and whom it is from; both are left out when empty."""

    to: str = ""
    sender: str = ""

    def fields(self) -> dict[str, object]:
        return {name: value for name, value in (("to", self.to), ("from", self.sender)) if value}


def encode_description(kind: Literal["offer", "answer"], sdp: str, address: Address, *, as_object: bool) -> str:
    """The text frame of an offer or answer; `as_object`: with `sdp` as `{type, sdp}`."""
    written: object = {"type": kind, "sdp": sdp} if as_object else sdp
    return _text({"type": kind, "sdp": written, **address.fields()})


def encode_candidate(candidate: Candidate, address: Address, form: Form) -> str:
    """The text frame of a candidate."""
    written = {
        "candidate": candidate.candidate,
        "sdpMid": candidate.sdp_mid,
        "sdpMLineIndex": candidate.sdp_mline_index,
    }
    return _text({"type": form.candidate_type, "candidate": written, **address.fields()})


def encode_error(message: str, code: str, address: Address) -> str:
    """The text frame that tells a viewer why it is not served."""
    return _text({"type": "error", "message": message, "code": code, **address.fields()})


def _text(body: Mapping[str, object]) -> str:
    return json.dumps(body, separators=(",", ":"))


__all__ = ["WireError", "decode"]
