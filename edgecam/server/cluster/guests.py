"""Viewers whose sockets are at other instances, at the instance of the camera that they watch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgecam.http.rights import ANYONE
from edgecam.server.cluster.messages import Close, Join, Say
from edgecam.server.cluster.peers import Peer
from edgecam.server.hub import Hub
from edgecam.server.registry import CLOSE_REPLACED, Refusal
from edgecam.server.seats import Client


class GuestLink:
    """Implements `seats.Link`: what the viewer is to hear goes to the instance that it is connected to."""

    away = False

    def __init__(self, peer: Peer, join: Join) -> None:
        self.remote = f"{join.remote} at {peer.name}"
        self._peer = peer
        self._camera = join.camera
        self._viewer = join.peer
        self.stamp = join.stamp

    def send(self, text: str) -> None:
        peer = self._peer
        peer.post.send(peer.node, Say(peer.me, self._camera, self._viewer, text))

    def close(self, code: int, reason: str) -> None:
        peer = self._peer
        peer.post.send(peer.node, Close(peer.me, self._camera, self._viewer, self.stamp, code, reason))


@dataclass(eq=False, slots=True)
class _Guest:
    client: Client
    link: GuestLink
    lines: tuple[int, int]


class Guests:
    """All guests of this instance, by camera, then by instance and peer id. What a guest may do was decided at the
    instance that it is connected to."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._guests: dict[str, dict[tuple[str, str], _Guest]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._guests.values()))

    def join(self, peer: Peer, join: Join) -> None:
        """Seat a guest and bring it and its camera together; a repeated join is no news."""
        camera = self._hub.registry.cameras.get(join.camera)
        if camera is None or camera.seat is None:
            return  # it has left or moved, which the other instance hears as well
        guest = self._get(peer, join.camera, join.peer)
        if guest is None:
            link = GuestLink(peer, join)
            guest = _Guest(Client(link, ANYONE), link, join.lines)
        elif (guest.link.stamp, guest.lines) == (join.stamp, join.lines):
            return
        guest.link.stamp, guest.lines = join.stamp, join.lines
        try:
            flags = {"offers": join.offers, "plain": join.plain}
            seat = self._hub.registry.seat_guest(guest.client, camera, join.peer, join.stamp, **flags)
        except Refusal as refusal:
            guest.link.close(CLOSE_REPLACED, refusal.message)
            return
        self._guests.setdefault(join.camera, {})[peer.node, join.peer] = guest
        self._hub.registry.greet_viewer(seat)

    def leave(self, peer: Peer, camera: str, viewer: str, stamp: int) -> None:
        """A guest has left, unless it has come back since."""
        guest = self._get(peer, camera, viewer)
        if guest is not None and guest.link.stamp <= stamp:
            self._drop(camera, (peer.node, viewer))

    def hear(self, peer: Peer, camera: str, viewer: str, text: str) -> None:
        """A guest says something."""
        guest = self._get(peer, camera, viewer)
        if guest is not None:
            self._hub.receive(guest.client, text)

    def settle(self, peer: Peer, lines: tuple[int, int]) -> None:
        """An instance has sent all its joins again: guests of before are none any more."""
        for camera, key, guest in self._of(peer):
            if guest.lines != lines:
                self._drop(camera, key)

    def drop_peer(self, peer: Peer) -> None:
        """An instance is gone, and its viewers with it."""
        for camera, key, _guest in self._of(peer):
            self._drop(camera, key)

    def drop_camera(self, camera: str) -> None:
        """A camera has left this instance; the registry has let its guests go."""
        self._guests.pop(camera, None)

    def _of(self, peer: Peer) -> Iterator[tuple[str, tuple[str, str], _Guest]]:
        found = [(c, key, guest) for c, guests in self._guests.items() for key, guest in guests.items() if key[0] == peer.node]
        return iter(found)

    def _get(self, peer: Peer, camera: str, viewer: str) -> _Guest | None:
        """The guest, if it still is one: the same viewer may have registered elsewhere since."""
        guest = self._guests.get(camera, {}).get((peer.node, viewer))
        if guest is not None and guest.client.seat is None:
            self._drop(camera, (peer.node, viewer))
            return None
        return guest

    def _drop(self, camera: str, key: tuple[str, str]) -> None:
        guests = self._guests.get(camera, {})
        guest = guests.pop(key, None)
        if not guests:
            self._guests.pop(camera, None)
        if guest is not None:
            self._hub.registry.leave(guest.client)
