"""`[signaling.NAME]`: one section per signaling server, its `type` says which dialect it speaks.

A section without `type` speaks `websocket`. Every dialect has `url` and `cameras`, which the status page and the doctor rely on.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, SecretStr, Tag, ValidationInfo, field_validator, model_validator

from edgecam.settings.section import Applied, CameraName, Seconds, Section


class WebsocketSignaling(Section):
    """[signaling.NAME] type = "websocket": the bundled server, or any server that speaks its messages."""

    applied = Applied.CONNECTION

    type: Literal["websocket"] = Field("websocket", description="the dialect")
    url: str = Field("ws://127.0.0.1:8080/ws", pattern=r"^wss?://\S+$", description="the server's WebSocket address")
    cameras: tuple[CameraName, ...] = Field((), description="cameras to offer there; all when empty")
    token: SecretStr = Field(SecretStr(""), description="secret that the server asks for")
    heartbeat: float = Field(
        10.0, ge=1, le=120, description="seconds between pings; a silent server is left after half of it"
    )


class SocketioCallSignaling(Section):
    """[signaling.NAME] type = "socketio-call": a Socket.IO server on which people call each other by e-mail address."""

    applied = Applied.CONNECTION

    type: Literal["socketio-call"] = Field(description="the dialect")
    url: str = Field(pattern=r"^https?://\S+$", description="the server's address, e.g. https://calls.example")
    path: str = Field("/socket.io", pattern=r"^/\S*$", description="where Socket.IO is on that server")
    login_path: str = Field(
        "/api/auth/login", pattern=r"^(/\S*)?$", description="where to log in on that server; empty: nobody has to"
    )
    cameras: tuple[CameraName, ...] = Field((), description="cameras to offer there; all when empty")
    email: str = Field(
        min_length=1, max_length=200, description="the camera's account; {camera} stands for the camera's name, one account each"
    )
    password: SecretStr = Field(SecretStr(""), description="password of the account")
    callers: tuple[str, ...] = Field(
        description='who may call the camera: e-mail addresses, * stands for anything, e.g. ["anna@calls.example", "*@clinic.example"]'
    )
    ring: Seconds = Field(180.0, ge=10, le=3600, description="seconds that a call of the camera waits for somebody to answer")


class SocketioRoomSignaling(Section):
    """[signaling.NAME] type = "socketio-room": a Socket.IO server with rooms of people who all call each other."""

    applied = Applied.CONNECTION

    type: Literal["socketio-room"] = Field(description="the dialect")
    url: str = Field(pattern=r"^https?://\S+$", description="the server's address, e.g. https://rooms.example")
    path: str = Field("/socket.io", pattern=r"^/\S*$", description="where Socket.IO is on that server")
    cameras: tuple[CameraName, ...] = Field((), description="cameras to offer there; all when empty")
    room: str = Field(min_length=1, max_length=200, description="the room's id (roomId); {camera} stands for the camera's name")
    user_name: str = Field("", max_length=200, description="how the camera is called in the room; its title when empty")


_PLACES = {
    "room": ("camera",),
    "user": ("camera",),
    "create_path": ("camera", "user", "room"),
    "join_path": ("room", "camera", "user"),
    "socket_path": ("room", "camera", "user", "token"),
    "login_path": (),
}


class RoomsSignaling(Section):
    """[signaling.NAME] type = "rooms": rooms made over HTTP, and a WebSocket that relays whatever is said in them."""

    applied = Applied.CONNECTION

    type: Literal["rooms"] = Field(description="the dialect")
    url: str = Field(pattern=r"^https?://\S+$", description="the server's address, e.g. https://rooms.example")
    cameras: tuple[CameraName, ...] = Field((), description="cameras to offer there, each in a room of its own; all when empty")
    room: str = Field(
        "",
        max_length=200,
        description="the room's id; {camera} stands for the camera's name; empty: the server makes one, status and log tell its id",
    )
    user: str = Field("", max_length=100, description="the camera's name in the room, where the server wants one")
    create_path: str = Field("/create-room", description="where rooms are made; empty: the camera waits for the room that is named")
    join_path: str = Field(
        "/join-room/{room}", description="where a room is joined, which answers 404 when it is gone; empty: nowhere"
    )
    socket_path: str = Field(
        "",
        description="the WebSocket, e.g. /ws/{room}?token={token}; empty: /ws/{room} or /ws/{room}/{user}, whichever is there",
    )
    method: Literal["auto", "post", "get"] = Field("auto", description="how paths are asked; auto: POST, and GET after a 405")
    wrapper: Literal["auto", "on", "off"] = Field(
        "auto", description="whether the server puts {from, data} around what it relays; auto: both are understood"
    )
    sdp: Literal["auto", "string", "object"] = Field(
        "auto", description="how pages want sdp: a string, or {type, sdp}; auto: as they write it, before that both in turn"
    )
    token: SecretStr = Field(SecretStr(""), description="bearer token that the server asks for")
    login_path: str = Field("", description="where a token is got for login and password, e.g. /login")
    login: str = Field("", max_length=200, description="user name or e-mail address of the camera's account")
    password: SecretStr = Field(SecretStr(""), description="password of the account")
    heartbeat: float = Field(
        10.0, ge=1, le=120, description="seconds between pings; a silent server is left after half of it"
    )

    @field_validator("room", "user", "create_path", "join_path", "socket_path", "login_path")
    @classmethod
    def _can_be_filled_in(cls, value: str, info: ValidationInfo) -> str:
        """What stands in braces is known, and paths are paths."""
        known = _PLACES[str(info.field_name)]
        wrong = [name for name in re.findall(r"\{(.*?)\}", value) if name not in known]
        if wrong or re.search(r"[{}]", re.sub(r"\{.*?\}", "", value)):
            allowed = ", ".join(f"{{{name}}}" for name in known) or "nothing"
            raise ValueError(f"{value!r} has braces that cannot be filled in; {allowed} may stand there")
        if "path" in str(info.field_name) and not re.fullmatch(r"(/\S*)?", value):
            raise ValueError(f"{value!r} is no path on a server; write for example /join-room/{{room}}")
        return value

    @model_validator(mode="after")
    def _login_is_whole(self) -> RoomsSignaling:
        if self.login_path and not (self.login and self.password.get_secret_value()):
            raise ValueError("login_path needs login and password")
        if not self.room and not self.create_path:
            raise ValueError("without create_path no room is made: name one in room")
        return self


class MediasoupSignaling(Section):
    """[signaling.NAME] type = "mediasoup": a Socket.IO server in front of a mediasoup SFU, where the camera is a producer."""

    applied = Applied.CONNECTION

    type: Literal["mediasoup"] = Field(description="the dialect")
    url: str = Field(pattern=r"^https?://\S+$", description="the server's address, e.g. https://sfu.example")
    path: str = Field("/socket.io", pattern=r"^/\S*$", description="where Socket.IO is on that server")
    cameras: tuple[CameraName, ...] = Field((), description="cameras to publish there; all when empty")
    room: str = Field(min_length=1, max_length=200, description="the room's id (roomId); {camera} stands for the camera's name")
    participant: str = Field(
        "{camera}", min_length=1, max_length=200, description="the camera's name in the room; the same name twice throws the older one out"
    )
    email: str = Field("{camera}@edgecam.invalid", max_length=200, description="the camera's e-mail address there (userEmail)")


class WhipSignaling(Section):
    """[signaling.NAME] type = "whip": the camera published once to a media server that speaks WHIP (RFC 9725)."""

    applied = Applied.CONNECTION

    type: Literal["whip"] = Field(description="the dialect")
    url: str = Field(
        pattern=r"^https?://\S+$",
        description="the WHIP endpoint, e.g. https://media.example/{camera}/whip; {camera} stands for its name",
    )
    cameras: tuple[CameraName, ...] = Field((), description="cameras to publish there; all when empty")
    token: SecretStr = Field(SecretStr(""), description="bearer token that the server asks for")
    token_file: str = Field("", description="file with the bearer token, read before each attempt: for tokens that expire")
    token_origins: tuple[str, ...] = Field(
        (), description="further origins that get the token when the server leads there, e.g. https://node2.media.example"
    )

    @model_validator(mode="after")
    def _one_token(self) -> WhipSignaling:
        if self.token_file and self.token.get_secret_value():
            raise ValueError("token and token_file exclude each other; keep one")
        return self


def _dialect(value: Any) -> str:
    return str(value.get("type", "websocket") if isinstance(value, dict) else getattr(value, "type", ""))


Signaling = Annotated[
    Annotated[WebsocketSignaling, Tag("websocket")]
    | Annotated[SocketioCallSignaling, Tag("socketio-call")]
    | Annotated[SocketioRoomSignaling, Tag("socketio-room")]
    | Annotated[RoomsSignaling, Tag("rooms")]
    | Annotated[MediasoupSignaling, Tag("mediasoup")]
    | Annotated[WhipSignaling, Tag("whip")],
    Discriminator(
        _dialect,
        custom_error_type="dialect_unknown",
        custom_error_message="type must be websocket, socketio-call, socketio-room, rooms, mediasoup or whip",
    ),
]
