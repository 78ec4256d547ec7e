"""Who sits where: clients, the cameras and viewers they are registered as."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Protocol

from edgecam.http.rights import Rights
from edgecam.server.backplane import Host
from edgecam.signaling import wire


class Link(Protocol):
    """A client's connection, as the hub sees it: neither method blocks or raises."""

    @property
    def remote(self) -> str:
        """The address it comes from, for people."""

    @property
    def away(self) -> bool:
        """Whether the connection is gone and its seat only kept for a moment, in case the client comes back."""

    def send(self, text: str) -> None:
        """Queue a text frame."""

    def close(self, code: int, reason: str) -> None:
        """Close after what is queued, with a code of RFC 6455 section 7.4."""


@dataclass(frozen=True, slots=True)
class Departed:
    """The link of a client that has gone: what is still sent to it goes nowhere."""

    remote: str
    away: bool = False

    def send(self, text: str) -> None: ...

    def close(self, code: int, reason: str) -> None: ...


@dataclass(eq=False, slots=True)
class Client:
    """One connection. `listing`: wants the camera list. `id`: in the audit log and in TURN user names; no secret."""

    link: Link
    rights: Rights
    seat: CameraSeat | ViewerSeat | None = None
    listing: bool = False
    errors: int = 0
    id: str = field(default_factory=lambda: secrets.token_hex(4))
    since: float = field(default_factory=time.monotonic)  # CLOCK_MONOTONIC seconds

    @property
    def turn_name(self) -> str:
        """What the TURN server's log calls it."""
        return f"camera.{self.seat.camera.id}.{self.id}" if isinstance(self.seat, CameraSeat) else f"client.{self.id}"

    def send(self, message: wire.Message) -> None:
        self.link.send(wire.encode(message))


class Audit(Protocol):
    """Is told what clients do. Returns at once and never raises."""

    def __call__(self, event: str, client: Client, **details: object) -> None:
        """`event`: camera-registered, viewer-joined, left, refused (with `code`), and what sockets add."""


def unheard(event: str, client: Client, **details: object) -> None:
    """An `Audit` that keeps nothing."""


@dataclass(eq=False, slots=True)
class CameraSeat:
    """A camera's registration. `plain`: a sender that knows no ids, and therefore one viewer at a time.

    `stamp`: when it registered, see `stamps`.
    """

    client: Client
    camera: Camera
    instance_id: str
    plain: bool
    stamp: int
    since: float = field(default_factory=time.monotonic)  # CLOCK_MONOTONIC seconds

    def tell_connected(self, viewer: ViewerSeat) -> None:
        """`viewer` has (re)joined."""
        ids = ("", "", False) if self.plain else (viewer.peer_id, self.camera.id, viewer.offers)
        self.client.send(wire.PeerConnected("receiver", *ids))

    def tell_disconnected(self, viewer: ViewerSeat) -> None:
        """`viewer`'s socket is gone."""
        ids = ("", "") if self.plain else (viewer.peer_id, self.camera.id)
        self.client.send(wire.PeerDisconnected("receiver", *ids))


@dataclass(eq=False, slots=True)
class ViewerSeat:
    """A viewer's registration. `wanted` is empty if any camera will do; `camera` is None until there is one.

    `plain`: a receiver that knows no ids. `offers`: it sends the offer itself. `stamp`: when it registered, see
    `stamps`. `guest`: its socket is at another instance, and `client.link` leads there.
    """

    client: Client
    peer_id: str
    wanted: str
    offers: bool
    plain: bool
    stamp: int
    camera: Camera | None = None
    guest: bool = False
    since: float = field(default_factory=time.monotonic)  # CLOCK_MONOTONIC seconds

    @property
    def ids(self) -> tuple[str, str]:
        """Peer and camera id for messages to this viewer; empty for one that knows none."""
        return ("", "") if self.plain else (self.peer_id, self.camera.id if self.camera else "")

    def tell_connected(self) -> None:
        """Its camera is here and will serve it."""
        self.client.send(wire.PeerConnected("sender", *self.ids))

    def tell_disconnected(self) -> None:
        """Its camera's socket is gone, or serves somebody else."""
        self.client.send(wire.PeerDisconnected("sender", *self.ids))


@dataclass(eq=False, slots=True)
class Camera:
    """A camera that is here (`seat`), at another instance (`host`), was somewhere, or is waited for.

    `viewers` by peer id, the latest to join last.
    """

    id: str
    title: str = ""
    seat: CameraSeat | None = None
    host: Host | None = None
    viewers: dict[str, ViewerSeat] = field(default_factory=dict)
    known: bool = False  # has registered at least once

    @property
    def online(self) -> bool:
        """Whether it is registered anywhere."""
        return self.seat is not None or self.host is not None

    @property
    def latest(self) -> ViewerSeat | None:
        """The viewer that a plain sender serves."""
        return next(reversed(self.viewers.values()), None)

    @property
    def served(self) -> tuple[ViewerSeat, ...]:
        """The viewers that the camera, if it is here, talks to."""
        if self.seat is not None and self.seat.plain:
            return (self.latest,) if self.latest is not None else ()
        return tuple(self.viewers.values())

    def serves(self, viewer: ViewerSeat) -> bool:
        """Whether the camera, if it is here, talks to this one of its viewers."""
        return self.seat is None or not self.seat.plain or self.latest is viewer

    @property
    def entry(self) -> wire.CameraEntry:
        return wire.CameraEntry(self.id, self.title or self.id, self.online)
