"""Another instance, as this one knows it: its cameras, and the way to it."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from edgecam.server.cluster.messages import Contest, Entry, Hello, Join, Leave, Message, Settled, Tell, digest_of
from edgecam.server.seats import ViewerSeat
from edgecam.signaling import wire

MAX_ENTRIES = 50_000  # cameras of one instance that are taken note of


class Post(Protocol):
    """The way to the other instances. No method blocks or raises; what is sent while `up` is False is lost."""

    @property
    def up(self) -> bool:
        """Whether messages go out now."""

    @property
    def line(self) -> int:
        """How many times there has been a connection."""

    @property
    def status(self) -> dict[str, object]:
        """For /status: whether it works, and why not."""

    def announce(self, message: Message) -> None:
        """To all, this one included."""

    def send(self, node: str, message: Message) -> None:
        """To one."""

    def record(self, camera: str, entry: Entry | None) -> None:
        """Keep this instance's table of cameras: a new entry, or None for one that goes."""

    def look_up(self, node: str) -> None:
        """Ask for another instance's table; it arrives by `Federation.take_table`."""


@dataclass(eq=False, slots=True)
class Peer:
    """One other instance. Implements `backplane.Host` for viewers here of cameras there.

    `heard_at`: CLOCK_MONOTONIC seconds. `touched`: cameras of which it said something since its table was asked for,
    and which are therefore newer than the table; None while none is under way.
    """

    me: str
    post: Post
    hello: Hello
    heard_at: float
    entries: dict[str, Entry] = field(default_factory=dict)
    touched: set[str] | None = None

    @property
    def node(self) -> str:
        return self.hello.node

    @property
    def name(self) -> str:
        return self.hello.name

    @property
    def lines(self) -> tuple[int, int]:
        """Ours and theirs: while both stay the same, nothing between the two is lost."""
        return self.post.line, self.hello.line

    def holds(self, camera_id: str, instance_id: str) -> bool:
        entry = self.entries.get(camera_id)
        return entry is not None and hmac.compare_digest(entry.digest, digest_of(camera_id, instance_id))

    def contest(self, camera_id: str) -> None:
        self.post.send(self.node, Contest(self.me, camera_id))

    def join(self, viewer: ViewerSeat) -> None:
        if viewer.camera is not None:
            camera, remote = viewer.camera.id, viewer.client.link.remote[:100]
            flags = viewer.offers, viewer.plain, viewer.stamp
            self.post.send(self.node, Join(self.me, camera, viewer.peer_id, *flags, remote, self.lines))

    def rejoin(self, viewers: Iterable[ViewerSeat]) -> None:
        """Send all joins again, after some may have been lost."""
        for viewer in viewers:
            self.join(viewer)
        self.post.send(self.node, Settled(self.me, self.lines))

    def leave(self, viewer: ViewerSeat) -> None:
        if viewer.camera is not None:
            self.post.send(self.node, Leave(self.me, viewer.camera.id, viewer.peer_id, viewer.stamp))

    def relay(self, viewer: ViewerSeat, message: wire.Message) -> bool:
        if viewer.camera is not None:
            self.post.send(self.node, Tell(self.me, viewer.camera.id, viewer.peer_id, wire.encode(message)))
        return self.post.up

    def note(self, entry: Entry) -> None:
        """A camera is there."""
        if len(self.entries) < MAX_ENTRIES or entry.camera in self.entries:
            self.entries[entry.camera] = entry
            if self.touched is not None:
                self.touched.add(entry.camera)

    def forget(self, camera: str, stamp: int) -> None:
        """A camera is not there any more, unless it has come back since."""
        entry = self.entries.get(camera)
        if entry is not None and entry.stamp <= stamp:
            del self.entries[camera]
        if self.touched is not None:
            self.touched.add(camera)

    def take_table(self, entries: Iterable[Entry]) -> set[str]:
        """Its whole table; the names of cameras that came, changed or went by it."""
        touched = self.touched or set()
        table = {entry.camera: entry for entry in entries if entry.camera not in touched}
        kept = {name: entry for name, entry in self.entries.items() if name in touched}
        before, self.entries, self.touched = self.entries, {**table, **kept}, None
        return {name for name in before.keys() | table.keys() if before.get(name) != self.entries.get(name)}
