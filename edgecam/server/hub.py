"""Who hears what: the server's side of the `websocket` dialect, without any I/O.

Many cameras, many viewers each. A client that uses none of the extensions (`cameraId`, `peerId`, `offers`,
`list`) sees exactly the messages of the original one-sender, one-receiver server.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from edgecam.http.rights import ADMIN, Denied, Rights
from edgecam.peers import PeerIceServers
from edgecam.server.registry import Refusal, Registry
from edgecam.server.seats import Audit, Camera, CameraSeat, Client, Link, ViewerSeat, unheard
from edgecam.settings import IceServer
from edgecam.signaling import wire

log = structlog.get_logger(__name__)

MAX_ERRORS = 50  # bad messages that one connection may send
CLOSE_POLICY = 1008  # RFC 6455 section 7.4.1
# Cameras whose list every viewer is sent. A longer one goes to those who ask for it (`list`): each join would cost more than its call.
SHORT_LIST = 64

_PATIENT = {"not-registered", "not-for-clients", "token-wrong", "forbidden"}  # refusals that count as bad messages

Relayed = wire.Offer | wire.Answer | wire.IceCandidate


class Hub:
    """Routes messages between registered clients. Every method returns at once; nothing received raises.

    `authorize(token, remote)` says what the token in `register` lets its holder do, or why it will not do.
    """

    def __init__(
        self,
        ice_servers: PeerIceServers | None = None,
        *,
        max_cameras: int = 1000,
        max_viewers: int = 1000,
        authorize: Callable[[str, str], Rights | Denied] = lambda _token, _remote: ADMIN,
        audit: Audit = unheard,
        cameras_changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._ice_servers = ice_servers
        self._authorize = authorize
        self._audit = audit
        self.registry = Registry(max_cameras, max_viewers, cameras_changed)
        self.clients: set[Client] = set()

    def ice_servers(self, name: str) -> tuple[IceServer, ...]:
        """What is handed out now to the peer of that name."""
        return tuple(self._ice_servers.for_peer(name)) if self._ice_servers is not None else ()

    def apply(self, ice_servers: PeerIceServers | None, max_cameras: int, max_viewers: int) -> None:
        """Other bounds, and other servers to hand out if some are given, from now on. Nobody who is here is sent away."""
        self._ice_servers = ice_servers or self._ice_servers
        self.registry.resize(max_cameras, max_viewers)

    def connect(self, link: Link, rights: Rights = ADMIN) -> Client:
        """A client has connected: welcome it."""
        client = Client(link, rights)
        self.clients.add(client)
        client.send(wire.Welcome(self.ice_servers(client.turn_name)))
        return client

    def disconnect(self, client: Client) -> None:
        """A client's connection has ended, in whatever way."""
        self.clients.discard(client)
        if client.seat is not None:
            self._audit("left", client)
        self.registry.leave(client)

    def receive(self, client: Client, text: str) -> None:
        """A text frame from `client`."""
        try:
            self._dispatch(client, wire.decode(text))
        except wire.WireError as error:
            self.complain(client, wire.Error(str(error), "bad-message"))
        except Refusal as refusal:
            answer = wire.Error(refusal.message, refusal.code)
            if refusal.code not in {"not-registered", "not-for-clients"}:
                self._audit("refused", client, code=refusal.code, reason=refusal.message)
            if refusal.code in _PATIENT:
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
        """Send each client that asked for it the list of the cameras that it may see."""
        texts: dict[tuple[str, ...], str] = {}
        for client in self.clients:
            if self._hears_of_cameras(client):
                seen = client.rights.cameras
                if seen not in texts:
                    texts[seen] = wire.encode(wire.Cameras(self.registry.entries(client.rights)))
                client.link.send(texts[seen])

    def _dispatch(self, client: Client, message: wire.Message | wire.Unknown) -> None:
        match message:
            case wire.GetTurnConfig():
                client.send(wire.TurnConfig(self.ice_servers(client.turn_name)))
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
            judged = self._authorize(request.token, client.link.remote)
            if isinstance(judged, Denied):
                raise Refusal(judged.message, judged.code)
            client.rights = judged
        if request.role == "sender":
            self._register_camera(client, request)
        elif request.listing and not (request.camera_id or request.peer_id or request.offers):
            client.listing = True  # wants to see the list only; registers again with a cameraId to watch
            entries = self.registry.entries(client.rights)
            client.send(wire.Registered("receiver", self.ice_servers(client.turn_name), cameras=entries))
        else:
            self._register_viewer(client, request)

    def _register_camera(self, client: Client, request: wire.Register) -> None:
        again = client.seat is not None
        seat = self.registry.seat_camera(client, request)
        client.send(wire.Registered("sender", self.ice_servers(client.turn_name), camera_id=request.camera_id))
        if not again:
            log.info("camera.registered", camera=seat.camera.id, remote=client.link.remote)
            self._audit("camera-registered", client, camera=seat.camera.id)
            self.registry.greet_camera(seat)

    def _register_viewer(self, client: Client, request: wire.Register) -> None:
        seat = self.registry.seat_viewer(client, request)
        client.listing = request.listing
        client.send(wire.Registered("receiver", self.ice_servers(client.turn_name), *seat.ids, cameras=self.listed(client)))
        self._audit("viewer-joined", client, camera=seat.camera.id if seat.camera else None)
        self.registry.greet_viewer(seat)

    def listed(self, client: Client) -> tuple[wire.CameraEntry, ...] | None:
        """The cameras that `registered` names to that client, None when it names none."""
        return self.registry.entries(client.rights) if self._hears_of_cameras(client) else None

    def _hears_of_cameras(self, client: Client) -> bool:
        short = len(self.registry.cameras) <= SHORT_LIST
        return client.listing or (short and isinstance(client.seat, ViewerSeat) and not client.seat.plain)

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
        if camera is not None and camera.host is not None and camera.host.relay(seat, message):
            return
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

    def cameras(self, rights: Rights) -> list[dict[str, object]]:
        """The list for /api/v1/cameras: what `rights` cover. Of a camera at another instance, `viewers` are those here."""
        return [
            {"id": c.id, "title": c.title or c.id, "online": c.online, "viewers": len(c.viewers), **_instance(c)}
            for c in self.registry.cameras.values()
            if c.known and rights.covers(c.id)
        ]


def _instance(camera: Camera) -> dict[str, object]:
    return {"instance": camera.host.name} if camera.host is not None else {}


def _addressed(message: Relayed, peer_id: str, camera_id: str) -> Relayed:
    """The same message with the ids that its reader understands: never those that its writer claimed."""
    match message:
        case wire.Offer(sdp):
            return wire.Offer(sdp, peer_id, camera_id)
        case wire.Answer(sdp):
            return wire.Answer(sdp, peer_id, camera_id)
        case wire.IceCandidate(candidate):
            return wire.IceCandidate(candidate, peer_id, camera_id)
