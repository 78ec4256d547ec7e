"""The messages of the `websocket` dialect, for both of its ends: pure encode and decode of JSON text frames.

Liberal in what it reads, strict in what it writes: extensions that hold their default are left out, so that a
peer that knows only the original messages sees exactly those.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from edgecam.peers import Candidate
from edgecam.settings import IceServer
from edgecam.signaling import fields
from edgecam.signaling.fields import MAX_MESSAGE_BYTES, WireError, ice_servers_from, ice_servers_to

Role = Literal["sender", "receiver"]

__all__ = ["MAX_MESSAGE_BYTES", "Role", "WireError", "decode", "encode"]


@dataclass(frozen=True, slots=True)
class Welcome:
    """Server to client, on connect."""

    ice_servers: tuple[IceServer, ...] = ()


@dataclass(frozen=True, slots=True)
class Register:
    """Client to server. `offers`: this viewer sends the offer itself. `listing`: wants `Cameras` messages.

    `instance_id` is a camera's secret: whoever knows it may take the camera's registration over.
    """

    role: Role
    camera_id: str = ""
    title: str = ""
    instance_id: str = ""
    token: str = ""
    peer_id: str = ""
    offers: bool = False
    listing: bool = False


@dataclass(frozen=True, slots=True)
class CameraEntry:
    """One line of the list of cameras."""

    id: str
    title: str
    online: bool


@dataclass(frozen=True, slots=True)
class Registered:
    """Server to client: the registration stands. `cameras` is None for clients that know no list."""

    role: Role
    ice_servers: tuple[IceServer, ...] = ()
    peer_id: str = ""
    camera_id: str = ""
    cameras: tuple[CameraEntry, ...] | None = None


@dataclass(frozen=True, slots=True)
class Cameras:
    """Server to viewers that asked: the list has changed."""

    cameras: tuple[CameraEntry, ...]


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """Server to client: the other side is here, once more on every (re)join."""

    peer: Role
    peer_id: str = ""
    camera_id: str = ""
    offers: bool = False


@dataclass(frozen=True, slots=True)
class PeerDisconnected:
    """Server to client: the other side's socket is gone, which says nothing about media."""

    peer: Role
    peer_id: str = ""
    camera_id: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """An SDP offer (RFC 8829) from either side."""

    sdp: str
    peer_id: str = ""
    camera_id: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The SDP answer to an offer."""

    sdp: str
    peer_id: str = ""
    camera_id: str = ""


@dataclass(frozen=True, slots=True)
class IceCandidate:
    """A trickled candidate (RFC 8838); None says that no more will come."""

    candidate: Candidate | None
    peer_id: str = ""
    camera_id: str = ""


@dataclass(frozen=True, slots=True)
class GetTurnConfig:
    """Client to server: the ICE servers again, please."""


@dataclass(frozen=True, slots=True)
class TurnConfig:
    """The reply to GetTurnConfig."""

    ice_servers: tuple[IceServer, ...] = ()


@dataclass(frozen=True, slots=True)
class Error:
    """Either direction; from a camera with `peer_id` it refuses that viewer. `code` is stable."""

    message: str
    code: str = ""
    peer_id: str = ""
    camera_id: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Well-formed, but of a type that this dialect does not have."""

    type: str


Message = (
    Welcome
    | Register
    | Registered
    | Cameras
    | PeerConnected
    | PeerDisconnected
    | Offer
    | Answer
    | IceCandidate
    | GetTurnConfig
    | TurnConfig
    | Error
)


def decode(text: str) -> Message | Unknown:
    """The message in a text frame. Raises WireError with one line of reason; never anything else."""
    body = fields.parse_object(text)
    kind = fields.line(body, "type", limit=64)
    if not kind:
        raise WireError("a message needs a type")
    match kind:
        case "offer":
            return Offer(fields.sdp(body), *_who(body))
        case "answer":
            return Answer(fields.sdp(body), *_who(body))
        case "ice-candidate":
            return IceCandidate(fields.candidate(body), *_who(body))
        case "peer-connected":
            return PeerConnected(_role(body, "peer"), *_who(body), offers=fields.flag(body, "offers"))
        case "peer-disconnected":
            return PeerDisconnected(_role(body, "peer"), *_who(body))
        case "register":
            return _register(body)
        case "get-turn-config":
            return GetTurnConfig()
        case "error":
            return Error(fields.line(body, "message", limit=500), fields.line(body, "code", limit=64), *_who(body))
        case _:
            return _decode_configuration(kind, body)


def _decode_configuration(kind: str, body: Mapping[str, object]) -> Message | Unknown:
    match kind:
        case "welcome":
            return Welcome(ice_servers_from(body.get("turnConfig")))
        case "registered":
            servers = ice_servers_from(body.get("turnConfig"))
            peer_id, camera_id = _who(body)
            listed = _entries(body["cameras"]) if "cameras" in body else None
            return Registered(_role(body, "role"), servers, peer_id, camera_id, listed)
        case "turn-config":
            return TurnConfig(ice_servers_from(body.get("config") or body.get("turnConfig")))
        case "cameras":
            return Cameras(_entries(body.get("cameras")))
        case _:
            return Unknown(kind)


def _register(body: Mapping[str, object]) -> Register:
    peer_id, camera_id = _who(body)
    return Register(
        _role(body, "role"),
        camera_id,
        title=fields.line(body, "title", limit=80),
        instance_id=fields.identifier(body, "instanceId"),
        token=fields.secret(body, "token"),
        peer_id=peer_id,
        offers=fields.flag(body, "offers"),
        listing=fields.flag(body, "list"),
    )


def _role(body: Mapping[str, object], name: str) -> Role:
    value = body.get(name)
    if value == "sender":
        return "sender"
    if value == "receiver":
        return "receiver"
    raise WireError(f"{name} must be sender or receiver")


def _who(body: Mapping[str, object]) -> tuple[str, str]:
    return fields.identifier(body, "peerId"), fields.identifier(body, "cameraId")


def _entries(value: object) -> tuple[CameraEntry, ...]:
    entries = [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
    return tuple(
        CameraEntry(name, fields.line(entry, "title", limit=80) or name, fields.flag(entry, "online"))
        for entry in entries
        if (name := fields.identifier(entry, "id"))
    )


def encode(message: Message) -> str:
    """The text frame of a message: compact JSON in ASCII, defaults left out."""
    return json.dumps(_body(message), separators=(",", ":"))


def _body(message: Message) -> dict[str, object]:
    match message:
        case Offer(sdp, peer_id, camera_id):
            return {"type": "offer", "sdp": sdp, **_ids(peer_id, camera_id)}
        case Answer(sdp, peer_id, camera_id):
            return {"type": "answer", "sdp": sdp, **_ids(peer_id, camera_id)}
        case IceCandidate(candidate, peer_id, camera_id):
            return {"type": "ice-candidate", "candidate": _candidate(candidate), **_ids(peer_id, camera_id)}
        case PeerConnected(peer, peer_id, camera_id, offers):
            body: dict[str, object] = {"type": "peer-connected", "peer": peer, **_ids(peer_id, camera_id)}
            return body | _present(offers=offers)
        case PeerDisconnected(peer, peer_id, camera_id):
            return {"type": "peer-disconnected", "peer": peer, **_ids(peer_id, camera_id)}
        case Error(text, code, peer_id, camera_id):
            return {"type": "error", "message": text, **_present(code=code), **_ids(peer_id, camera_id)}
        case Cameras(cameras):
            return {"type": "cameras", "cameras": _listing(cameras)}
        case _:
            return _registration_body(message)


def _registration_body(
    message: Welcome | Register | Registered | GetTurnConfig | TurnConfig,
) -> dict[str, object]:
    match message:
        case Welcome(servers):
            return {"type": "welcome", "turnConfig": ice_servers_to(servers)}
        case TurnConfig(servers):
            return {"type": "turn-config", "config": ice_servers_to(servers)}
        case GetTurnConfig():
            return {"type": "get-turn-config"}
        case Registered(role, servers, peer_id, camera_id, cameras):
            body: dict[str, object] = {
                "type": "registered",
                "role": role,
                "turnConfig": ice_servers_to(servers),
            }
            listed = {} if cameras is None else {"cameras": _listing(cameras)}
            return body | _ids(peer_id, camera_id) | listed
        case Register(role, camera_id, title, instance_id, token, peer_id, offers, listing):
            extras = _present(title=title, instanceId=instance_id, token=token, offers=offers, list=listing)
            return {"type": "register", "role": role, **_ids(peer_id, camera_id), **extras}


def _ids(peer_id: str, camera_id: str) -> dict[str, object]:
    return _present(peerId=peer_id, cameraId=camera_id)


def _present(**values: object) -> dict[str, object]:
    return {name: value for name, value in values.items() if value}


def _candidate(candidate: Candidate | None) -> dict[str, object] | None:
    if candidate is None:
        return None
    return {
        "candidate": candidate.candidate,
        "sdpMid": candidate.sdp_mid,
        "sdpMLineIndex": candidate.sdp_mline_index,
    }


def _listing(cameras: tuple[CameraEntry, ...]) -> list[dict[str, object]]:
    return [{"id": camera.id, "title": camera.title, "online": camera.online} for camera in cameras]
