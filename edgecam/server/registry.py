"""Registering and leaving: which camera and which viewers are here, and who is told."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

import structlog

from edgecam.server.seats import Camera, CameraSeat, Client, ViewerSeat
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
        self.viewers: set[ViewerSeat] = set()
        self._max_cameras = max_cameras
        self._max_viewers = max_viewers
        self._changed = changed

    @property
    def online(self) -> list[Camera]:
        """Cameras that are registered now, the first seen first."""
        return [camera for camera in self.cameras.values() if camera.seat is not None]

    @property
    def entries(self) -> tuple[wire.CameraEntry, ...]:
        """The list of cameras, with those that have been here before."""
        return tuple(camera.entry for camera in self.cameras.values() if camera.known)

    def seat_camera(self, client: Client, request: wire.Register) -> CameraSeat:
        """Register a camera; the caller confirms, then calls `greet_camera`. Raises Refusal."""
        name = request.camera_id or DEFAULT_CAMERA
        camera = self.cameras.get(name) or Camera(name)
        if isinstance(client.seat, ViewerSeat) or (client.seat is not None and client.seat.camera is not camera):
            raise Refusal("this connection is already registered as something else", "already-registered")
        holder = camera.seat
        if holder is None:
            if len(self.online) >= self._max_cameras:
                raise Refusal("the server has as many cameras as it may have", "full")
        elif holder.client is not client:
            if not request.instance_id or holder.instance_id != request.instance_id:
                raise Refusal("sender role is already taken", "sender-taken")
            log.info("camera.replaced", camera=name, remote=client.link.remote)
            holder.client.seat = None
            holder.client.link.close(CLOSE_REPLACED, "this camera has connected anew")
        seat = CameraSeat(client, camera, request.instance_id, plain=not request.camera_id)
        self.cameras[name] = camera
        camera.seat = client.seat = seat
        camera.title, camera.known = request.title or camera.title, True
        self._forget_oldest()
        self._changed()
        return seat

    def greet_camera(self, seat: CameraSeat) -> None:
        """Bring a camera that has just registered and those who wait for it together."""
        camera = seat.camera
        for viewer in [v for v in self.viewers if not v.wanted and (v.camera is None or v.camera.seat is None)]:
            self._unbind(viewer)
            camera.viewers[viewer.peer_id], viewer.camera = viewer, camera
        for viewer in camera.served:
            viewer.tell_connected()
            seat.tell_connected(viewer)

    def seat_viewer(self, client: Client, request: wire.Register) -> ViewerSeat:
        """Register a viewer; the caller confirms, then calls `greet_viewer`. Raises Refusal."""
        if isinstance(client.seat, CameraSeat):
            raise Refusal("this connection is already registered as sender", "already-registered")
        plain = not (request.camera_id or request.peer_id or request.offers or request.listing)
        proposed = request.peer_id if _PROPOSED_PEER.fullmatch(request.peer_id) else ""
        again = client.seat.peer_id if client.seat is not None and not proposed else ""
        peer_id = proposed or again or secrets.token_urlsafe(16)
        camera = self._camera_for(request.camera_id)
        older = camera.viewers.get(peer_id) if camera is not None else None
        if client.seat is not None and client.seat is not older:
            self.leave(client)
        if older is None and len(self.viewers) >= self._max_viewers:
            raise Refusal("the server has as many viewers as it may have", "full")
        if older is not None:
            self._replace(older, client)
        seat = ViewerSeat(client, peer_id, request.camera_id, request.offers, plain, camera)
        client.seat = seat
        self.viewers.add(seat)
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
            seat.camera.seat = None
            self._changed()
        elif isinstance(seat, ViewerSeat):
            self.viewers.discard(seat)
            self._viewer_left(seat)

    def _viewer_left(self, seat: ViewerSeat) -> None:
        camera = seat.camera
        if camera is None or camera.viewers.get(seat.peer_id) is not seat:
            return
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

    def _camera_for(self, wanted: str) -> Camera | None:
        if wanted:
            return self.cameras.get(wanted) or Camera(wanted)
        return next(iter(self.online), None)

    def _replace(self, older: ViewerSeat, client: Client) -> None:
        """A viewer has come back with its peer id: its older socket goes without a word to the camera."""
        self.viewers.discard(older)
        if older.camera is not None:
            older.camera.viewers.pop(older.peer_id, None)
        if older.client is not client:
            older.client.seat = None
            older.client.link.close(CLOSE_REPLACED, "this viewer has connected anew")

    def _forget_oldest(self) -> None:
        """Bound what is remembered of cameras that went away."""
        excess = len(self.cameras) - 2 * self._max_cameras
        if excess > 0:
            gone = [c.id for c in self.cameras.values() if c.seat is None and not c.viewers]
            for name in gone[:excess]:
                del self.cameras[name]
