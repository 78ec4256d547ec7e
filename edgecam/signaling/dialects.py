"""Which code speaks which dialect. Each is imported only where a section asks for it: some need libraries that others do not."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from edgecam.errors import ConfigError
from edgecam.health import HealthBoard
from edgecam.peers import Publications
from edgecam.settings.signaling import (
    MediasoupSignaling,
    RoomsSignaling,
    Signaling,
    SocketioCallSignaling,
    SocketioRoomSignaling,
    WebsocketSignaling,
    WhipSignaling,
)
from edgecam.signaling.percamera import PerCamera
from edgecam.supervisor import Backoff


def dialect(
    name: str,
    section: Signaling,
    cameras: Mapping[str, str],
    sessions: Publications,
    board: HealthBoard,
    backoff: Backoff,
    state_dir: Path | None = None,
) -> PerCamera:
    """What serves `[signaling.NAME]`; `cameras` are those that the section offers, names to titles, `state_dir` is for what is to
    outlive the daemon. Raises ConfigError when a library is missing."""
    match section:
        case WebsocketSignaling():
            from edgecam.signaling.websocket import WebsocketExchange

            return WebsocketExchange(name, section, cameras, sessions, board, backoff)
        case WhipSignaling():
            from edgecam.signaling.whip import whip

            return whip(name, section, cameras, sessions, board, backoff)
        case RoomsSignaling():
            from edgecam.signaling.rooms import RoomsExchange

            return RoomsExchange(name, section, cameras, sessions, board, backoff, state_dir)
        case SocketioCallSignaling():
            _require("socketio", "python3-socketio", name)
            from edgecam.signaling.socketio_call import CallExchange

            return CallExchange(name, section, cameras, sessions, board, backoff)
        case SocketioRoomSignaling():
            _require("socketio", "python3-socketio", name)
            from edgecam.signaling.socketio_room import RoomExchange

            return RoomExchange(name, section, cameras, sessions, board, backoff)
        case MediasoupSignaling():
            _require("socketio", "python3-socketio", name)
            from edgecam.signaling.mediasoup import mediasoup

            return mediasoup(name, section, cameras, sessions, board, backoff)


def says_titles(section: Signaling) -> bool:
    """Whether the server is told the cameras' titles, so that another title takes another connection."""
    return isinstance(section, WebsocketSignaling | SocketioCallSignaling | SocketioRoomSignaling)


def _require(module: str, package: str, section: str) -> None:
    """Raise ConfigError with what to install when a library is missing."""
    if find_spec(module) is None:
        raise ConfigError(
            f"[signaling.{section}] needs a library that is not installed: {module}",
            remedy=f"apt install {package}, or pip install 'edgecam[{module}]'",
        )
