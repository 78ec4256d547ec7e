"""Who hears what: the server's side of the `websocket` dialect, without any I/O.

Many cameras, many viewers each. A client that uses none of the extensions (`cameraId`, `peerId`, `offers`,
`list`) sees exactly the messages of the original one-sender, one-receiver server.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import structlog

from edgecam.server.registry import Refusal, Registry
from edgecam.server.seats import CameraSeat, Client, Link, ViewerSeat
from edgecam.settings import IceServer
from edgecam.signaling import wire

log = structlog.get_logger(__name__)

MAX_ERRORS = 50  # bad messages that one connection may send
CLOSE_POLICY = 1008  # RFC 6455 section 7.4.1

Relayed = wire.Offer | wire.Answer | wire.IceCandidate


class Hub:
    """Routes messages between registered clients. Every method returns at once; nothing received raises.

    `token_refused(token, remote)` says why the token in `register` will not do; `anonymous_cameras` lets clients without it be senders.
    """

    def __init__(
        self,
        ice_servers: Sequence[IceServer] = (),
        *,
        max_cameras: int = 1000,
        max_viewers: int = 1000,
        token_refused: Callable[[str, str], str] = lambda _token, _remote: "",
        anonymous_cameras: bool = True,
        cameras_changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.ice_servers = tuple(ice_servers)
        self._token_refused = token_refused
        self._anonymous_cameras = anonymous_cameras
        self.registry = Registry(max_cameras, max_viewers, cameras_changed)
        self.clients: set[Client] = set()

    def connect(self, link: Link, *, vouched: bool = True) -> Client:
        """A client has connected: welcome it."""
        client = Client(link, vouched)
        self.clients.add(client)
        client.send(wire.Welcome(self.ice_servers))
        return client

    def disconnect(self, client: Client) -> None:
        """A client's connection has ended, in whatever way."""
        self.clients.discard(client)
        self.registry.leave(client)

    def receive(self, client: Client, text: str) -> None:
        """A text frame from `client`."""
        try:
            self._dispatch(client, wire.decode(text))
        except wire.WireError as error:
            self.complain(client, wire.Error(str(error), "bad-message"))
        except Refusal as refusal:
            answer = wire.Error(refusal.message, refusal.code)
            if refusal.code in {"not-registered", "not-for-clients", "token-wrong"}:
                self.complain(client, answer)
            else:
                client.send(answer)

    def complain(self, client: Client, error: wire.Error) -> None:
        """Tell a client what it did wrong; the patience for that is bounded."""
        client.errors += 1
        client.send(error)
        if client.errors >= MAX_ERRORS:
            log.warning("client.closed", remote=client.link.remote, reason="too many bad messages")
            client.link.close(CLOSE_POLICY, "too many bad messages")

    def announce_cameras(self) -> None:
        """Send the list of cameras to the clients that asked for it."""
        text = wire.encode(wire.Cameras(self.registry.entries))
        for client in self.clients:
            if client.listing:
                client.link.send(text)

    def _dispatch(self, client: Client, message: wire.Message | wire.Unknown) -> None:
        match message:
            case wire.GetTurnConfig():
                client.send(wire.TurnConfig(self.ice_servers))
            case wire.Register():
                self._register(client, message)
            case wire.Offer() | wire.Answer() | wire.IceCandidate():
                if isinstance(client.seat, CameraSeat):
                    self._relay_to_viewer(client.seat, message)
                elif isinstance(client.seat, ViewerSeat):
                    self._relay_to_camera(client.seat, message)
                else:
                    raise Refusal("register first", "not-registered")
            case wire.Error():
                self._relay_error(client, message)
            case wire.Unknown(kind):
                log.debug("message.ignored", type=kind, remote=client.link.remote)
            case _:
                raise Refusal("only the server sends messages of that type", "not-for-clients")

    def _register(self, client: Client, request: wire.Register) -> None:
        if request.token:
            if reason := self._token_refused(request.token, client.link.remote):
                raise Refusal(reason, "token-wrong")
            client.vouched = True
        if request.role == "sender":
            if not (client.vouched or self._anonymous_cameras):
                raise Refusal("a camera needs the token to register", "token-wrong")
            self._register_camera(client, request)
        elif request.listing and not (request.camera_id or request.peer_id or request.offers):
            client.listing = True  # wants to see the list only; registers again with a cameraId to watch
            client.send(wire.Registered("receiver", self.ice_servers, cameras=self.registry.entries))
        else:
            self._register_viewer(client, request)

    def _register_camera(self, client: Client, request: wire.Register) -> None:
        again = client.seat is not None
        seat = self.registry.seat_camera(client, request)
        client.send(wire.Registered("sender", self.ice_servers, camera_id=request.camera_id))
        if not again:
            log.info("camera.registered", camera=seat.camera.id, remote=client.link.remote)
            self.registry.greet_camera(seat)

    def _register_viewer(self, client: Client, request: wire.Register) -> None:
        seat = self.registry.seat_viewer(client, request)
        client.listing = not seat.plain
        listed = None if seat.plain else self.registry.entries
        client.send(wire.Registered("receiver", self.ice_servers, *seat.ids, cameras=listed))
        self.registry.greet_viewer(seat)

    def _relay_to_viewer(self, seat: CameraSeat, message: Relayed) -> None:
        camera = seat.camera
        viewer = camera.viewers.get(message.peer_id) if message.peer_id else camera.latest
        if viewer is None:
            if not isinstance(message, wire.IceCandidate):
                absent = wire.Error("no receiver is connected", "peer-absent", message.peer_id)
                seat.client.send(absent)
            return
        viewer.client.send(_addressed(message, *viewer.ids))

    def _relay_to_camera(self, seat: ViewerSeat, message: Relayed) -> None:
        camera = seat.camera
        if camera is None or camera.seat is None or not camera.serves(seat):
            if isinstance(message, wire.Offer):
                seat.client.send(wire.Error("no sender is connected", "peer-absent", *seat.ids))
            return
        ids = ("", "") if camera.seat.plain else (seat.peer_id, camera.id)
        camera.seat.client.send(_addressed(message, *ids))

    def _relay_error(self, client: Client, error: wire.Error) -> None:
        """A camera refuses a viewer; what a viewer complains about stays here."""
        seat = client.seat
        viewer = seat.camera.viewers.get(error.peer_id) if isinstance(seat, CameraSeat) else None
        if viewer is None:
            log.debug("client.error", remote=client.link.remote, message=error.message)
            return
        viewer.client.send(wire.Error(error.message, error.code, *viewer.ids))

    @property
    def cameras(self) -> list[dict[str, object]]:
        """The list for /api/v1/cameras."""
        return [
            {"id": c.id, "title": c.title or c.id, "online": c.seat is not None, "viewers": len(c.viewers)}
            for c in self.registry.cameras.values()
            if c.known
        ]

    @property
    def status(self) -> dict[str, object]:
        """Who is connected, for /status; times in seconds. Peer ids are secrets: only their beginning."""
        now = time.monotonic()
        cameras = [
            {
                "id": camera.id,
                "title": camera.title or camera.id,
                "online": camera.seat is not None,
                "remote": camera.seat.client.link.remote if camera.seat else None,
                "connected_s": round(now - camera.seat.since, 1) if camera.seat else None,
                "viewers": [
                    {
                        "peer": v.peer_id[:6],
                        "remote": v.client.link.remote,
                        "connected_s": round(now - v.since, 1),
                    }
                    for v in camera.viewers.values()
                ],
            }
            for camera in self.registry.cameras.values()
        ]
        return {"clients": len(self.clients), "viewers": len(self.registry.viewers), "cameras": cameras}


def _addressed(message: Relayed, peer_id: str, camera_id: str) -> Relayed:
    """The same message with the ids that its reader understands: never those that its writer claimed."""
    match message:
        case wire.Offer(sdp):
            return wire.Offer(sdp, peer_id, camera_id)
        case wire.Answer(sdp):
            return wire.Answer(sdp, peer_id, camera_id)
        case wire.IceCandidate(candidate):
            return wire.IceCandidate(candidate, peer_id, camera_id)
