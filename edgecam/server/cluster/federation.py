"""Several hubs as one, without any I/O: each camera is served by the instance that it is connected to, and a viewer
that is connected to another one is a guest there.

A camera that registers at two instances belongs to the later registration (then to the instance of the higher id);
every instance comes to the same conclusion from what it hears, whatever the order, and the loser's client is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import structlog

from edgecam.server.cluster.guests import Guests
from edgecam.server.cluster.messages import (
    Bye,
    Came,
    Close,
    Contest,
    Entry,
    Gone,
    Greet,
    Hello,
    Join,
    Leave,
    Message,
    Say,
    Settled,
    Tell,
    digest_of,
)
from edgecam.server.cluster.peers import Peer, Post
from edgecam.server.hub import Hub
from edgecam.server.registry import CLOSE_REPLACED
from edgecam.server.seats import CameraSeat, ViewerSeat
from edgecam.signaling import wire

log = structlog.get_logger(__name__)

MAX_PEERS = 64  # other instances; each says hello to all of them every second
EXPIRY = 4.0  # seconds of silence after which another instance is taken for dead; each says hello once a second
UNHEARD_EXPIRY = 1.5  # the same for one that Redis says nobody listens for: killed, or about to connect anew
STALL = 2.0  # seconds between two ticks that say that this process was not running
GRACE = 10.0  # seconds without Redis after which viewers are told that cameras at other instances are gone


class Federation:
    """This instance among the others. Implements `backplane.Backplane`; no method blocks or raises."""

    def __init__(self, hub: Hub, node: str, name: str, post: Post, clock: Callable[[], float] = time.monotonic) -> None:
        self.node = node
        self.name = name
        self._hub = hub
        self._registry = hub.registry
        self._post = post
        self._clock = clock
        self._peers: dict[str, Peer] = {}
        self._guests = Guests(hub)
        self._down_since: float | None = clock()
        self._ticked = clock()
        hub.registry.backplane = self

    @property
    def hello(self) -> Hello:
        """What this instance says of itself."""
        return Hello(self.node, self.name, self._post.line, self._registry.count_online, len(self._registry.viewers))

    @property
    def entries(self) -> list[Entry]:
        """The cameras that are here."""
        return [_entry(camera.seat) for camera in self._registry.online if camera.seat is not None]

    @property
    def status(self) -> dict[str, object]:
        now = self._clock()
        own = {"name": self.name, "role": "this", "cameras": self.hello.cameras, "viewers": self.hello.viewers}
        others = [
            {
                "name": peer.name,
                "role": "other",
                "cameras": len(peer.entries),
                "viewers": peer.hello.viewers,
                "heard_s": round(now - peer.heard_at, 1),
            }
            for peer in sorted(self._peers.values(), key=lambda peer: peer.name)
        ]
        cluster = {"instance": self.name, **self._post.status, "guests": len(self._guests), "instances": [own, *others]}
        return {"cluster": cluster}

    @property
    def gauges(self) -> tuple[tuple[str, str, int], ...]:
        return (
            ("cluster_connected", "1 while this server is connected to Redis.", int(self._post.up)),
            ("cluster_instances", "Servers that are known, this one included.", 1 + len(self._peers)),
            ("cluster_guests", "Viewers at other servers that watch cameras here.", len(self._guests)),
        )

    # what happens here

    def camera_came(self, seat: CameraSeat) -> None:
        entry = _entry(seat)
        self._post.record(entry.camera, entry)
        self._post.announce(Came(self.node, entry))

    def camera_left(self, camera_id: str, stamp: int) -> None:
        self._guests.drop_camera(camera_id)
        self._post.record(camera_id, None)
        self._post.announce(Gone(self.node, camera_id, stamp))

    # what happens to the line

    def line_up(self, found: Sequence[tuple[Hello, Sequence[Entry]]]) -> None:
        """There is a connection, and these are the other instances. All are given time to be heard."""
        self._down_since = None
        self._give_time(self._clock())
        for hello, entries in found[:MAX_PEERS]:
            peer = self._meet(hello)
            peer.hello, peer.touched = hello, None
            self._take_entries(peer, entries)
        for peer in self._peers.values():
            peer.rejoin(self._viewers_at(peer))

    def line_down(self) -> None:
        """There is none any more."""
        if self._down_since is None:
            self._down_since = self._clock()

    def tick(self) -> None:
        """To be called about twice a second: give up what has been silent for too long."""
        now, down = self._clock(), self._down_since
        stalled, self._ticked = now - self._ticked > STALL, now
        if stalled:
            self._give_time(now)  # it is this process that stood still, not the others
        for peer in list(self._peers.values()):
            if now - down > GRACE if down is not None else now - peer.heard_at > EXPIRY:
                log.warning("instance.lost", instance=peer.name, cameras=len(peer.entries))
                self._drop(peer)

    def _give_time(self, now: float) -> None:
        for peer in self._peers.values():
            peer.heard_at = now

    def unheard(self, node: str) -> None:
        """Nobody listened to a message for that instance."""
        peer = self._peers.get(node)
        if peer is not None:
            peer.heard_at = min(peer.heard_at, self._clock() - EXPIRY + UNHEARD_EXPIRY)

    # what others say

    def take_table(self, node: str, entries: Sequence[Entry]) -> None:
        """The table that was asked for."""
        peer = self._peers.get(node)
        if peer is not None:
            self._take_entries(peer, entries)

    def receive(self, message: Message) -> None:
        """A message that was published for this instance or for all."""
        if message.node == self.node:
            return
        if isinstance(message, Hello):
            self._take_hello(message)
            return
        peer = self._peers.get(message.node)
        if peer is None:
            return  # its hello comes within a second, and all else after that
        match message:
            case Bye():
                log.info("instance.left", instance=peer.name)
                self._drop(peer)
            case Came(_, entry):
                peer.note(entry)
                self._reconsider(entry.camera, tell=False)
            case Gone(_, camera, stamp):
                peer.forget(camera, stamp)
                self._reconsider(camera, tell=False)
            case Greet():
                peer.rejoin(self._viewers_at(peer))
            case Contest(_, name):
                self._take_contest(name)
            case Say() | Close():
                self._take_for_viewer(peer, message)
            case Join() | Leave() | Settled() | Tell():
                self._take_from_guest(peer, message)

    def _take_hello(self, hello: Hello) -> None:
        peer = self._peers.get(hello.node)
        if peer is None and len(self._peers) >= MAX_PEERS:
            return
        if peer is None:
            peer = self._meet(hello)
            self._ask_for_table(peer)
            self._post.send(peer.node, Greet(self.node))
        elif peer.hello.line != hello.line:
            peer.hello = hello
            self._ask_for_table(peer)
            peer.rejoin(self._viewers_at(peer))
        peer.hello, peer.heard_at = hello, self._clock()

    def _take_contest(self, name: str) -> None:
        camera = self._registry.cameras.get(name)
        if camera is not None and camera.seat is not None and camera.seat.client.link.away:
            camera.seat.client.link.close(CLOSE_REPLACED, "another sender has asked for this camera's place")

    def _take_for_viewer(self, peer: Peer, message: Say | Close) -> None:
        camera = self._registry.cameras.get(message.camera)
        viewer = camera.viewers.get(message.peer) if camera is not None and camera.host is peer else None
        if viewer is None:
            return
        if isinstance(message, Say):
            viewer.client.link.send(message.text)
        elif viewer.stamp == message.stamp:
            self._registry.leave(viewer.client)
            viewer.client.link.close(message.code, message.reason)

    def _take_from_guest(self, peer: Peer, message: Join | Leave | Settled | Tell) -> None:
        match message:
            case Join():
                self._registry.stamps.saw(message.stamp)
                self._guests.join(peer, message)
            case Leave(_, camera, viewer, stamp):
                self._guests.leave(peer, camera, viewer, stamp)
            case Tell(_, camera, viewer, text):
                self._guests.hear(peer, camera, viewer, text)
            case Settled(_, lines):
                self._guests.settle(peer, lines)

    # whose cameras are whose

    def _meet(self, hello: Hello) -> Peer:
        if hello.node not in self._peers:
            log.info("instance.found", instance=hello.name)
            self._peers[hello.node] = Peer(self.node, self._post, hello, self._clock())
        return self._peers[hello.node]

    def _ask_for_table(self, peer: Peer) -> None:
        peer.touched = set()
        self._post.look_up(peer.node)

    def _take_entries(self, peer: Peer, entries: Iterable[Entry]) -> None:
        for camera in peer.take_table(entries):
            self._reconsider(camera, tell=True)

    def _drop(self, peer: Peer) -> None:
        del self._peers[peer.node]
        for camera in peer.entries:
            self._reconsider(camera, tell=True)
        self._guests.drop_peer(peer)

    def _viewers_at(self, peer: Peer) -> list[ViewerSeat]:
        return [viewer for viewer in self._registry.viewers if viewer.camera is not None and viewer.camera.host is peer]

    def _reconsider(self, camera_id: str, *, tell: bool) -> None:
        """Decide anew where a camera is. `tell`: when it is nowhere, nobody else has told its viewers."""
        candidates = [(entry.stamp, peer.node) for peer in self._peers.values() if (entry := peer.entries.get(camera_id))]
        if not candidates:
            self._registry.unhost_camera(camera_id, tell=tell)
            return
        stamp, node = max(candidates)
        self._registry.stamps.saw(stamp)
        camera = self._registry.cameras.get(camera_id)
        here = camera.seat if camera is not None else None
        if here is not None and (here.stamp, self.node) > (stamp, node):
            return
        winner = self._peers[node]
        lost = self._registry.host_camera(camera_id, winner.entries[camera_id].title, winner)
        if lost is not None:
            self._turn_out(lost, winner)

    def _turn_out(self, seat: CameraSeat, winner: Peer) -> None:
        """The client of a registration that has lost hears why."""
        camera, link = seat.camera.id, seat.client.link
        log.info("camera.moved", camera=camera, remote=link.remote, instance=winner.name)
        if seat.instance_id and winner.holds(camera, seat.instance_id):
            link.close(CLOSE_REPLACED, "this camera has connected anew")
        else:
            seat.client.send(wire.Error("sender role is already taken", "sender-taken"))
            link.close(CLOSE_REPLACED, "another sender has registered as this camera")


def _entry(seat: CameraSeat) -> Entry:
    camera = seat.camera
    return Entry(camera.id, camera.title, digest_of(camera.id, seat.instance_id), seat.stamp)
