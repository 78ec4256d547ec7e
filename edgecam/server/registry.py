"""Registering and leaving: which camera and which viewers are here, and who is told."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

import structlog

from edgecam.http.rights import Rights
from edgecam.server.backplane import Alone, Backplane, Host
from edgecam.server.seats import Camera, CameraSeat, Client, ViewerSeat
from edgecam.server.stamps import Stamps
from edgecam.signaling import wire

log = structlog.get_logger(__name__)

DEFAULT_CAMERA = "camera"  # the id of a sender that names none
CLOSE_REPLACED = 4001  # the same camera instance or viewer has connected anew: do not reconnect
_PROPOSED_PEER = re.compile(r".{16,64}")  # a shorter id could be guessed, and with it the viewer's place taken


class Refusal(Exception):  # noqa: N818 - an answer to the client, not a fault
    """A request that is answered with `error {message, code}`."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class Registry:
    """All cameras and viewers. `changed` is called when the list of cameras has changed."""

    def __init__(self, max_cameras: int, max_viewers: int, changed: Callable[[], None]) -> None:
        self.cameras: dict[str, Camera] = {}
        self.viewers: set[ViewerSeat] = set()  # those whose sockets are here
        self.backplane: Backplane = Alone()
        self.stamps = Stamps()
        self._here: set[str] = set()  # cameras that are registered here
        self._undecided: set[ViewerSeat] = set()  # of the viewers, those that take any camera
        self._max_cameras = max_cameras
        self._max_viewers = max_viewers
        self._changed = changed

    def resize(self, max_cameras: int, max_viewers: int) -> None:
        """Other bounds for whoever registers from now on."""
        self._max_cameras, self._max_viewers = max_cameras, max_viewers

    @property
    def online(self) -> list[Camera]:
        """Cameras that are registered here now, the first seen first."""
        return [camera for camera in self.cameras.values() if camera.seat is not None]

    @property
    def count_online(self) -> int:
        """How many cameras are registered here now."""
        return len(self._here)

    def entries(self, rights: Rights) -> tuple[wire.CameraEntry, ...]:
        """The list of cameras that `rights` cover, with those that have been here before."""
        return tuple(camera.entry for camera in self.cameras.values() if camera.known and rights.covers(camera.id))

    def seat_camera(self, client: Client, request: wire.Register) -> CameraSeat:
        """Register a camera; the caller confirms, then calls `greet_camera`. Raises Refusal."""
        name = request.camera_id or DEFAULT_CAMERA
        if not client.rights.may_send(name):
            raise Refusal(f"this token is not for a camera named {name}", "forbidden")
        camera = self.cameras.get(name) or Camera(name)
        if isinstance(client.seat, ViewerSeat) or (client.seat is not None and client.seat.camera is not camera):
            raise Refusal("this connection is already registered as something else", "already-registered")
        holder = camera.seat
        if holder is None and self.count_online >= self._max_cameras:
            raise Refusal("the server has as many cameras as it may have", "full")
        again = holder is not None and holder.client is client
        if not again:
            self._free_role(camera, client, request.instance_id)
        stamp = holder.stamp if holder is not None and again else self.stamps.next()
        seat = CameraSeat(client, camera, request.instance_id, plain=not request.camera_id, stamp=stamp)
        self.cameras[name] = camera
        self._here.add(name)
        camera.seat = client.seat = seat
        camera.title, camera.known = request.title or camera.title, True
        self._forget_oldest()
        self._changed()
        self.backplane.camera_came(seat)
        return seat

    def _free_role(self, camera: Camera, client: Client, instance_id: str) -> None:
        """Have whoever is registered as this camera leave without a word to its viewers. Raises Refusal."""
        holder, host = camera.seat, camera.host
        if holder is not None:
            same = bool(instance_id) and holder.instance_id == instance_id
            if not (same or holder.client.link.away):
                raise Refusal("sender role is already taken", "sender-taken")
            log.info("camera.replaced", camera=camera.id, remote=client.link.remote)
            holder.client.seat = None
            holder.client.link.close(CLOSE_REPLACED, "this camera has connected anew")
        elif host is not None:
            if not (instance_id and host.holds(camera.id, instance_id)):
                host.contest(camera.id)
                raise Refusal("sender role is already taken", "sender-taken")
            log.info("camera.moved-here", camera=camera.id, remote=client.link.remote, instance=host.name)
            camera.host = None

    def greet_camera(self, seat: CameraSeat) -> None:
        """Bring a camera that has just registered and those who wait for it together."""
        camera = seat.camera
        self._bind_undecided(camera)
        for viewer in camera.served:
            viewer.tell_connected()
            seat.tell_connected(viewer)

    def _bind_undecided(self, camera: Camera) -> None:
        """Give a camera that has come the viewers that take any, and have none."""
        waiting = [v for v in self._undecided if v.camera is None or not v.camera.online]
        for viewer in [v for v in waiting if v.client.rights.may_watch(camera.id)]:
            self._unbind(viewer)
            older = camera.viewers.get(viewer.peer_id)
            if older is not None:
                self._replace(older, viewer.client)
            camera.viewers[viewer.peer_id], viewer.camera = viewer, camera

    def seat_viewer(self, client: Client, request: wire.Register) -> ViewerSeat:
        """Register a viewer; the caller confirms, then calls `greet_viewer`. Raises Refusal."""
        if isinstance(client.seat, CameraSeat):
            raise Refusal("this connection is already registered as sender", "already-registered")
        plain = not (request.camera_id or request.peer_id or request.offers or request.listing)
        proposed = request.peer_id if _PROPOSED_PEER.fullmatch(request.peer_id) else ""
        again = client.seat.peer_id if client.seat is not None and not proposed else ""
        peer_id = proposed or again or secrets.token_urlsafe(16)
        camera = self._camera_for(request.camera_id, client.rights)
        older = camera.viewers.get(peer_id) if camera is not None else None
        if client.seat is not None and client.seat is not older:
            self.leave(client)
        if older is None and len(self.viewers) >= self._max_viewers:
            raise Refusal("the server has as many viewers as it may have", "full")
        if older is not None:
            self._replace(older, client)
        seat = ViewerSeat(client, peer_id, request.camera_id, request.offers, plain, self.stamps.next(), camera)
        client.seat = seat
        self.viewers.add(seat)
        if not seat.wanted:
            self._undecided.add(seat)
        return seat

    def greet_viewer(self, seat: ViewerSeat) -> None:
        """Bring a viewer that has just registered and its camera together."""
        camera = seat.camera
        if camera is None:
            return
        if seat.wanted:
            self.cameras.setdefault(camera.id, camera)
        displaced = camera.latest
        camera.viewers[seat.peer_id] = seat
        if camera.host is not None:
            camera.host.join(seat)
        if camera.seat is None:
            return
        if displaced is not None and not camera.serves(displaced):
            displaced.tell_disconnected()
        seat.tell_connected()
        camera.seat.tell_connected(seat)

    def leave(self, client: Client) -> None:
        """Give up what `client` is registered as, and tell the other side."""
        seat, client.seat = client.seat, None
        if isinstance(seat, CameraSeat):
            for viewer in seat.camera.served:
                viewer.tell_disconnected()
            self._unseat(seat)
            self._changed()
        elif isinstance(seat, ViewerSeat):
            self.viewers.discard(seat)
            self._undecided.discard(seat)
            self._viewer_left(seat)

    def _unseat(self, seat: CameraSeat) -> None:
        """Take a camera's registration away; its guests go with it, for the instances they are from see it too."""
        camera = seat.camera
        camera.seat = seat.client.seat = None
        self._here.discard(camera.id)
        for guest in [viewer for viewer in camera.viewers.values() if viewer.guest]:
            guest.client.seat = None
            self._unbind(guest)
        self.backplane.camera_left(camera.id, seat.stamp)

    def _viewer_left(self, seat: ViewerSeat) -> None:
        camera = seat.camera
        if camera is None or camera.viewers.get(seat.peer_id) is not seat:
            return
        if camera.host is not None:
            camera.host.leave(seat)
        was_served = camera.serves(seat)
        self._unbind(seat)
        if camera.seat is None or not was_served:
            return
        camera.seat.tell_disconnected(seat)
        if camera.seat.plain and camera.latest is not None:  # the one that had to wait gets its turn
            camera.latest.tell_connected()
            camera.seat.tell_connected(camera.latest)

    def _unbind(self, viewer: ViewerSeat) -> None:
        camera, viewer.camera = viewer.camera, None
        if camera is None:
            return
        camera.viewers.pop(viewer.peer_id, None)
        if not camera.known and not camera.viewers:
            self.cameras.pop(camera.id, None)

    def _camera_for(self, wanted: str, rights: Rights) -> Camera | None:
        if wanted:
            if not rights.may_watch(wanted):
                raise Refusal(f"this token does not let you watch {wanted}", "forbidden")
            return self.cameras.get(wanted) or Camera(wanted)
        if rights.role == "camera":
            raise Refusal("this token is a camera's and lets nobody watch", "forbidden")
        hosted = (camera for camera in self.cameras.values() if camera.host is not None)
        return next((camera for camera in (*self.online, *hosted) if rights.may_watch(camera.id)), None)

    def _replace(self, older: ViewerSeat, client: Client) -> None:
        """A viewer has come back with its peer id: its older socket goes without a word to the camera."""
        self.viewers.discard(older)
        self._undecided.discard(older)
        if older.camera is not None:
            older.camera.viewers.pop(older.peer_id, None)
        if older.client is not client:
            older.client.seat = None
            older.client.link.close(CLOSE_REPLACED, "this viewer has connected anew")

    # what the backplane says

    def seat_guest(self, client: Client, camera: Camera, peer_id: str, stamp: int, *, offers: bool, plain: bool) -> ViewerSeat:
        """Register a viewer of another instance with a camera that is here; the caller then calls `greet_viewer`.

        Raises Refusal when the same viewer has registered elsewhere since.
        """
        older = camera.viewers.get(peer_id)
        if older is not None:
            if older.stamp > stamp:
                raise Refusal("this viewer has connected anew", "replaced")
            self._replace(older, client)
        seat = ViewerSeat(client, peer_id, camera.id, offers, plain, stamp, camera, guest=True)
        client.seat = seat
        return seat

    def host_camera(self, camera_id: str, title: str, host: Host) -> CameraSeat | None:
        """A camera is registered at another instance. A registration here ends without a word and is returned."""
        camera = self.cameras.setdefault(camera_id, Camera(camera_id))
        lost = camera.seat
        if lost is not None:
            self._unseat(lost)
        moved, camera.host = camera.host is not host, host
        camera.title, camera.known = title or camera.title, True
        if moved:
            self._bind_undecided(camera)
            for viewer in camera.viewers.values():
                host.join(viewer)
        self._forget_oldest()
        self._changed()
        return lost

    def unhost_camera(self, camera_id: str, *, tell: bool) -> None:
        """A camera is no longer registered at another instance. `tell`: its viewers have not been told there."""
        camera = self.cameras.get(camera_id)
        if camera is None or camera.host is None:
            return
        camera.host = None
        if tell:
            for viewer in camera.viewers.values():
                viewer.tell_disconnected()
        self._changed()

    def _forget_oldest(self) -> None:
        """Bound what is remembered of cameras that went away."""
        excess = len(self.cameras) - 2 * self._max_cameras
        if excess > 0:
            gone = [c.id for c in self.cameras.values() if not c.online and not c.viewers]
            for name in gone[:excess]:
                del self.cameras[name]
