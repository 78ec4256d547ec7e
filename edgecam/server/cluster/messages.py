"""What instances say to each other: one line of JSON, and for a passed-on client message its text after that line.

The text is a message of the `websocket` dialect as the hub of the camera's instance takes and sends it. Secrets of
clients do not pass: a camera's instance id only as a digest, tokens and TURN credentials not at all.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from edgecam.signaling.fields import MAX_MESSAGE_BYTES

# A client's message may have MAX_MESSAGE_BYTES, of which writing it anew as ASCII can make six times as many.
MAX_BYTES = 6 * MAX_MESSAGE_BYTES + 1024

Node = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Name = Annotated[str, Field(max_length=64)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Stamp = Annotated[int, Field(ge=0, lt=2**62)]
Count = Annotated[int, Field(ge=0, lt=2**31)]


class MessageError(ValueError):
    """A message that cannot be read; its text is one line without the message."""


@dataclass(frozen=True, slots=True)
class Hello:
    """To all, once a second: `node` is here. `line` counts its connections to Redis: a new one means that messages
    to and from it may have been lost."""

    node: Node
    name: Name
    line: Count
    cameras: Count = 0
    viewers: Count = 0
    kind: Literal["hello"] = "hello"


@dataclass(frozen=True, slots=True)
class Bye:
    """To all: the instance stops."""

    node: Node
    kind: Literal["bye"] = "bye"


@dataclass(frozen=True, slots=True)
class Entry:
    """A camera registered at an instance. `digest` proves its instance id, see `digest_of`."""

    camera: Identifier
    title: Annotated[str, Field(max_length=80)]
    digest: Annotated[str, Field(max_length=64)]
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Came:
    """To all: a camera has registered at `node`, or its entry has changed."""

    node: Node
    entry: Entry
    kind: Literal["came"] = "came"


@dataclass(frozen=True, slots=True)
class Gone:
    """To all: the camera that registered at `stamp` is no longer at `node`."""

    node: Node
    camera: Identifier
    stamp: Stamp
    kind: Literal["gone"] = "gone"


@dataclass(frozen=True, slots=True)
class Greet:
    """To one: `node` had not known it, or no longer. Joins are to be sent again."""

    node: Node
    kind: Literal["greet"] = "greet"


@dataclass(frozen=True, slots=True)
class Join:
    """To a camera's instance: a viewer at `node` watches it. `lines`: those of both, as `node` knows them; a join that
    is repeated with the same is no news."""

    node: Node
    camera: Identifier
    peer: Identifier
    offers: bool
    plain: bool
    stamp: Stamp
    remote: Annotated[str, Field(max_length=100)]
    lines: tuple[Count, Count]
    kind: Literal["join"] = "join"


@dataclass(frozen=True, slots=True)
class Contest:
    """To a camera's instance: another sender would like to be that camera."""

    node: Node
    camera: Identifier
    kind: Literal["contest"] = "contest"


@dataclass(frozen=True, slots=True)
class Settled:
    """To a camera's instance, after joins have been sent again: those with other `lines` are not valid any more."""

    node: Node
    lines: tuple[Count, Count]
    kind: Literal["settled"] = "settled"


@dataclass(frozen=True, slots=True)
class Leave:
    """To a camera's instance: the viewer that registered at `stamp` has left."""

    node: Node
    camera: Identifier
    peer: Identifier
    stamp: Stamp
    kind: Literal["leave"] = "leave"


@dataclass(frozen=True, slots=True)
class Tell:
    """To a camera's instance: what a viewer says."""

    node: Node
    camera: Identifier
    peer: Identifier
    text: str = ""
    kind: Literal["tell"] = "tell"


@dataclass(frozen=True, slots=True)
class Say:
    """To a viewer's instance: what the viewer is to hear."""

    node: Node
    camera: Identifier
    peer: Identifier
    text: str = ""
    kind: Literal["say"] = "say"


@dataclass(frozen=True, slots=True)
class Close:
    """To a viewer's instance: the viewer that registered at `stamp` has connected anew elsewhere, or is not wanted."""

    node: Node
    camera: Identifier
    peer: Identifier
    stamp: Stamp
    code: Annotated[int, Field(ge=1000, le=4999)]
    reason: Annotated[str, Field(max_length=123)]
    kind: Literal["close"] = "close"


Message = Hello | Bye | Came | Gone | Greet | Contest | Join | Settled | Leave | Tell | Say | Close

_MESSAGE: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])
_ENTRY: TypeAdapter[Entry] = TypeAdapter(Entry)


def encode(message: Message) -> bytes:
    """As it is published."""
    if isinstance(message, Tell | Say):
        return _MESSAGE.dump_json(type(message)(message.node, message.camera, message.peer)) + b"\n" + message.text.encode()
    return _MESSAGE.dump_json(message)


def decode(data: bytes) -> Message:
    """The message that was published. Raises MessageError."""
    if len(data) > MAX_BYTES:
        raise MessageError(f"it has {len(data)} bytes")
    head, newline, text = data.partition(b"\n")
    try:
        message = _MESSAGE.validate_json(head)
        if newline and isinstance(message, Tell | Say):
            return type(message)(message.node, message.camera, message.peer, text.decode())
    except ValidationError as error:
        raise MessageError(str(error.errors(include_url=False, include_context=False, include_input=False)[0])) from None
    except UnicodeDecodeError:
        raise MessageError("its text is not UTF-8") from None
    return message


def encode_entry(entry: Entry) -> bytes:
    """As it is kept in the table of an instance's cameras."""
    return _ENTRY.dump_json(entry)


def decode_entry(data: bytes) -> Entry:
    """Raises MessageError."""
    try:
        return _ENTRY.validate_json(data)
    except ValidationError:
        raise MessageError("an entry of a table of cameras cannot be read") from None


def digest_of(camera: str, instance_id: str) -> str:
    """What others may know of a camera's instance id; empty for a camera that has none."""
    return hashlib.sha256(f"{camera}\n{instance_id}".encode()).hexdigest() if instance_id else ""
